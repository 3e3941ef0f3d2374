"""writer.py WAY FROM TO: replaces TO by the content of FROM as WAY does."""
import fileinput, os, pathlib, shutil, sys, tempfile

way, source, target = sys.argv[1:]
text = open(source).read()


def opened(mode):
    with open(target, mode) as f:
        f.write(text)
        f.truncate()


def replaced():
    with tempfile.NamedTemporaryFile("w", dir=os.path.dirname(target), delete=False) as f:
        f.write(text)
        f.flush()
        os.fsync(f.fileno())
    os.replace(f.name, target)


def in_place():
    lines = text.splitlines(keepends=True)
    with fileinput.input(target, inplace=True) as old:
        for _ in old:
            sys.stdout.write(lines.pop(0) if lines else "")
        sys.stdout.write("".join(lines))


def atomicwrites():
    from atomicwrites import atomic_write

    with atomic_write(target, overwrite=True) as f:
        f.write(text)


{
    "w": lambda: opened("w"),
    "r+": lambda: opened("r+"),
    "pathlib": lambda: pathlib.Path(target).write_text(text),
    "replace": replaced,
    "fileinput": in_place,
    "atomicwrites": atomicwrites,
    "copyfile": lambda: shutil.copyfile(source, target),
    "copy2": lambda: shutil.copy2(source, target),
    "move": lambda: shutil.move(source, target),
}[way]()
