// watcher.js PATH [NAME]: says "ready", and a line for each change of NAME in PATH, or of the file PATH itself.
const fs = require('fs');
const [path, name] = process.argv.slice(2);
let watcher;
function watch() {
  if (watcher) watcher.close();
  watcher = fs.watch(path, (event, changed) => {
    if (name && changed !== name) return;
    // A file that was replaced has to be watched anew.
    if (!name && event === 'rename') return watch();
    fs.writeSync(1, `${event}\n`);
  });
}
watch();
fs.writeSync(1, 'ready\n');
