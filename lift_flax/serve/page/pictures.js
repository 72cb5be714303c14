// Pictures that come with an answer, drawn on the canvases of the page.

async function bitmap({ width, height, format }, bytes) {
  if (format === "jpeg") return createImageBitmap(new Blob([bytes], { type: "image/jpeg" }));
  const rgb = new Uint8Array(bytes);
  const image = new ImageData(width, height);
  for (let from = 0, to = 0; from < rgb.length; from += 3, to += 4) {
    image.data[to] = rgb[from];
    image.data[to + 1] = rgb[from + 1];
    image.data[to + 2] = rgb[from + 2];
    image.data[to + 3] = 255;
  }
  return image;
}

export async function show(canvas, picture, bytes) {
  const image = await bitmap(picture, bytes);
  if (canvas.width !== picture.width || canvas.height !== picture.height) {
    [canvas.width, canvas.height] = [picture.width, picture.height];
  }
  const context = canvas.getContext("2d");
  if (image instanceof ImageData) context.putImageData(image, 0, 0);
  else {
    context.drawImage(image, 0, 0);
    image.close();
  }
}

// The bytes of each picture of a head, by its name.
export function parts(head, bytes) {
  let from = 0;
  return Object.fromEntries(
    head.pictures.map((picture) => {
      const part = bytes.slice(from, from + picture.bytes);
      from += picture.bytes;
      return [picture.name, [picture, part]];
    }),
  );
}
