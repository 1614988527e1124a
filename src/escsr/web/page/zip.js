// A ZIP of files stored as they are, made of parts that stay where they are.

/** Makes a ZIP of `{ name, blob }`, up to 4 GiB. */
export async function zipped(files) {
  const parts = [];
  const directory = [];
  let offset = 0;
  for (const { name, blob } of files) {
    const label = new TextEncoder().encode(name);
    const common = new Uint8Array(26); // from the version needed to the length of the name
    const view = new DataView(common.buffer);
    view.setUint16(0, 20, true);
    view.setUint16(2, 0x0800, true); // names are UTF-8
    view.setUint16(8, 0x21, true); // 1 January 1980
    view.setUint32(10, await crc32(blob), true);
    view.setUint32(14, blob.size, true);
    view.setUint32(18, blob.size, true);
    view.setUint16(22, label.length, true);
    parts.push(new Uint8Array([0x50, 0x4b, 3, 4]), common, label, blob);
    const tail = new DataView(new ArrayBuffer(14)); // comment, disk, attributes, offset
    tail.setUint32(10, offset, true);
    directory.push(new Uint8Array([0x50, 0x4b, 1, 2, 20, 0]), common, tail.buffer, label);
    offset += 30 + label.length + blob.size;
  }
  const size = directory.reduce((sum, part) => sum + part.byteLength, 0);
  const end = new DataView(new ArrayBuffer(22));
  end.setUint32(0, 0x06054b50, true);
  end.setUint16(8, files.length, true);
  end.setUint16(10, files.length, true);
  end.setUint32(12, size, true);
  end.setUint32(16, offset, true);
  return new Blob([...parts, ...directory, end.buffer], { type: "application/zip" });
}

const CRC = Uint32Array.from({ length: 256 }, (_, n) => {
  for (let bit = 0; bit < 8; bit++) n = n & 1 ? (n >>> 1) ^ 0xedb88320 : n >>> 1;
  return n;
});

async function crc32(blob) {
  let crc = 0xffffffff;
  for (const reader = blob.stream().getReader(); ; ) {
    const { done, value } = await reader.read();
    if (done) return (crc ^ 0xffffffff) >>> 0;
    for (const byte of value) crc = (crc >>> 8) ^ CRC[(crc ^ byte) & 255];
  }
}
