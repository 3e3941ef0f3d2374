// writer.js WAY FROM TO: replaces TO by the content of FROM as WAY does.
const fs = require('fs');
const [way, from, to] = process.argv.slice(2);
const text = fs.readFileSync(from);
const ways = {
  writeFileSync: () => fs.writeFileSync(to, text),
  promises: () => fs.promises.writeFile(to, text),
  copyFileSync: () => fs.copyFileSync(from, to),
  stream: () => fs.createWriteStream(to).end(text),
  rename: () => { fs.writeFileSync(`${to}.tmp`, text); fs.renameSync(`${to}.tmp`, to); },
};
ways[way]();
