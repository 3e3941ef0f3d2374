import static java.nio.file.StandardWatchEventKinds.ENTRY_CREATE;
import static java.nio.file.StandardWatchEventKinds.ENTRY_DELETE;
import static java.nio.file.StandardWatchEventKinds.ENTRY_MODIFY;

import java.nio.file.Path;

/** Watcher DIRECTORY NAME: says "ready", and a line for each event of NAME in DIRECTORY. */
class Watcher {
    public static void main(String[] arguments) throws Exception {
        var directory = Path.of(arguments[0]);
        var service = directory.getFileSystem().newWatchService();
        directory.register(service, ENTRY_CREATE, ENTRY_DELETE, ENTRY_MODIFY);
        System.out.println("ready");
        while (true) {
            var key = service.take();
            for (var event : key.pollEvents()) {
                if (arguments[1].equals(String.valueOf(event.context()))) System.out.println(event.kind());
            }
            key.reset();
        }
    }
}
