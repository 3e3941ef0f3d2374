// reader.js WAY FILE: prints FILE as WAY reads it.
const fs = require('fs');
const [way, file] = process.argv.slice(2);
const print = (bytes) => fs.writeSync(1, bytes);
const ways = {
  readFileSync: () => print(fs.readFileSync(file)),
  promises: async () => print(await fs.promises.readFile(file)),
  callback: () => fs.readFile(file, (error, bytes) => { if (error) throw error; print(bytes); }),
  copyFileSync: () => { fs.copyFileSync(file, 'copy'); print(fs.readFileSync('copy')); },
  stream: async () => { for await (const chunk of fs.createReadStream(file)) print(chunk); },
  handle: async () => {
    const handle = await fs.promises.open(file);
    const { bytesRead, buffer } = await handle.read(Buffer.alloc(999), 0, 999, 0);
    print(buffer.subarray(0, bytesRead));
    await handle.close();
  },
};
ways[way]();
