"""typed.py KEYS COMMAND…: runs COMMAND on a terminal, types KEYS ("|" waits until the screen is still), prints what it showed."""
import os, pty, select, sys, time

keys, command = sys.argv[1].encode().decode("unicode_escape"), sys.argv[2:]
pid, terminal = pty.fork()
if pid == 0:
    os.environ["TERM"] = "xterm"
    os.execvp(command[0], command)
screen = b""


def until_still(quiet=0.25):
    global screen
    while select.select([terminal], [], [], quiet)[0]:
        try:
            screen += os.read(terminal, 9999)
        except OSError:
            return


until_still(0.5)
for part in keys.split("|"):
    try:
        os.write(terminal, part.encode())
    except OSError:
        break
    until_still()
end = time.monotonic() + 5
while (ended := os.waitpid(pid, os.WNOHANG))[0] == 0 and time.monotonic() < end:
    until_still(0.05)
if ended[0] == 0:
    os.kill(pid, 9)
    sys.exit("it did not end: " + screen.decode(errors="replace")[-300:])
print(screen.decode(errors="replace"))
sys.exit(os.waitstatus_to_exitcode(ended[1]))
