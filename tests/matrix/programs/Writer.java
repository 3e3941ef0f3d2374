import static java.nio.file.StandardCopyOption.ATOMIC_MOVE;
import static java.nio.file.StandardCopyOption.REPLACE_EXISTING;

import java.io.FileWriter;
import java.nio.file.Files;
import java.nio.file.Path;

/** Writer WAY FROM TO: replaces TO by the content of FROM as WAY does. */
class Writer {
    public static void main(String[] arguments) throws Exception {
        Path from = Path.of(arguments[1]), to = Path.of(arguments[2]);
        var text = Files.readString(from);
        switch (arguments[0]) {
            case "writeString" -> Files.writeString(to, text);
            case "copy" -> Files.copy(from, to, REPLACE_EXISTING);
            case "FileWriter" -> {
                try (var writer = new FileWriter(to.toFile())) {
                    writer.write(text);
                }
            }
            case "move" -> {
                var temporary = Files.createTempFile(to.getParent(), ".new", ".tmp");
                Files.writeString(temporary, text);
                Files.move(temporary, to, ATOMIC_MOVE);
            }
            default -> throw new IllegalArgumentException(arguments[0]);
        }
    }
}
