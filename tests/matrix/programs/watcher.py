"""watcher.py WAY PATH [NAME]: says "ready", and a line for each change."""
import os, select, sys, time

way, path = sys.argv[1:3]
name = sys.argv[3] if len(sys.argv) > 3 else None


def say(line):
    print(line, flush=True)


def held(wait):
    """A handle wakes once; whoever wants the next change opens anew."""
    first = True
    while True:
        f = os.open(path, os.O_RDONLY)
        os.read(f, 999)
        if first:
            say("ready")
            first = False
        wait(f)
        os.close(f)
        say(way)


def poll(f):
    p = select.poll()
    p.register(f, select.POLLPRI)
    assert p.poll()[0][1] & select.POLLPRI


def epoll(f):
    p = select.epoll()
    p.register(f, select.EPOLLPRI | select.EPOLLET)
    assert p.poll()[0][1] & select.EPOLLPRI
    p.close()


def selected(f):
    assert select.select([], [], [f])[2] == [f]


def watchdog():
    from watchdog.events import FileSystemEventHandler
    from watchdog.observers import Observer

    class Handler(FileSystemEventHandler):
        def on_any_event(self, event):
            if os.path.basename(event.src_path) == name and event.event_type in ("modified", "created", "deleted"):
                say(event.event_type)

    observer = Observer()
    observer.schedule(Handler(), path)
    observer.start()
    say("ready")
    time.sleep(1000)


{"poll": lambda: held(poll), "epoll": lambda: held(epoll), "select": lambda: held(selected), "watchdog": watchdog}[way]()
