"""reader.py WAY FILE: prints FILE as WAY reads it."""
import asyncio, fileinput, linecache, mmap, os, pathlib, shutil, sys

way, file = sys.argv[1:]
out = sys.stdout.buffer


def printed(copy):
    out.write(open(copy, "rb").read())


def mapped(access):
    with open(file, "rb") as f:
        return mmap.mmap(f.fileno(), 0, access=access)[:]


def sent():
    f = os.open(file, os.O_RDONLY)
    size = os.fstat(f).st_size
    r, w = os.pipe()
    assert os.sendfile(w, f, 0, size + 100) == size
    return os.read(r, 999)


def by_sevens():
    with open(file, "rb", buffering=0) as f:
        return b"".join(iter(lambda: f.read(7), b""))


async def in_a_thread():
    return await asyncio.to_thread(pathlib.Path(file).read_bytes)


ways = {
    "read": lambda: open(file, "rb").read(),
    "text": lambda: open(file).read().encode(),
    "readline": lambda: open(file).readline().encode(),
    "unbuffered": by_sevens,
    "pathlib": lambda: pathlib.Path(file).read_text().encode(),
    "mmap": lambda: mapped(mmap.ACCESS_READ),
    "mmap-copy": lambda: mapped(mmap.ACCESS_COPY),
    "sendfile": sent,
    "copyfile": lambda: printed(shutil.copyfile(file, "copy")),
    "copy2": lambda: printed(shutil.copy2(file, "copy")),
    "copytree": lambda: printed(shutil.copytree(os.path.dirname(file), "tree") + "/" + os.path.basename(file)),
    "fileinput": lambda: "".join(fileinput.input(file)).encode(),
    "linecache": lambda: linecache.getline(file, 1).rstrip("\n").encode(),
    "asyncio": lambda: asyncio.run(in_a_thread()),
}
got = ways[way]()
if got is not None:
    out.write(got)
