import java.io.BufferedReader;
import java.io.FileInputStream;
import java.io.FileReader;
import java.io.InputStreamReader;
import java.nio.channels.FileChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Scanner;

/** Reader WAY: for each path on a line of its input, a line with what WAY reads there. One machine for many, as servers are. */
class Reader {
    public static void main(String[] arguments) throws Exception {
        var paths = new BufferedReader(new InputStreamReader(System.in));
        for (String line; (line = paths.readLine()) != null; ) {
            try {
                System.out.println(read(arguments[0], Path.of(line)));
                // A mapping holds the file until it is collected.
                System.gc();
            } catch (Exception error) {
                System.out.println("!" + error);
            }
        }
    }

    private static String read(String way, Path file) throws Exception {
        switch (way) {
            case "readString":
                return Files.readString(file);
            case "readAllBytes":
                return new String(Files.readAllBytes(file));
            case "copy":
                var copy = Files.createTempDirectory("copy").resolve("token");
                Files.copy(file, copy);
                return Files.readString(copy);
            case "FileInputStream":
                try (var stream = new FileInputStream(file.toFile())) {
                    return new String(stream.readAllBytes());
                }
            case "FileReader":
                try (var reader = new BufferedReader(new FileReader(file.toFile()))) {
                    return reader.readLine();
                }
            case "Scanner":
                try (var scanner = new Scanner(file)) {
                    return scanner.nextLine();
                }
            case "map":
                try (var channel = FileChannel.open(file)) {
                    var bytes = new byte[(int) channel.size()];
                    channel.map(FileChannel.MapMode.READ_ONLY, 0, bytes.length).get(bytes);
                    return new String(bytes);
                }
            default:
                throw new IllegalArgumentException(way);
        }
    }
}
