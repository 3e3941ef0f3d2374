//! The readers: one row each. `{file}` is the token's path, `{length}` its size, `$P` the directory of the helper programs. A script runs in an empty directory of
//! its own and prints what it read.

/// What a reader prints.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Says {
    /// The token itself.
    Token,
    /// How many bytes it has.
    Length,
    /// `sha256sum`'s word for it.
    Sha256,
    /// Git's word for it.
    GitBlob,
    /// Nothing: it reads a format that a bare token is not, and must not mind.
    Silence,
}

/// How a reader is run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Runs {
    /// Once for each read.
    Once,
    /// Once for all: it is told a path on each line, and answers with a line.
    Serving,
}

/// By which name a reader comes to the token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// In the mount.
    Path,
    /// A symbolic link to that.
    Symlink,
    /// Below a bind-mounted `creds`.
    BoundDirectory,
    /// A file that the token is bind-mounted on, as `subPath` does.
    BoundFile,
}

/// A row of the matrix.
#[derive(Debug, Clone, Copy)]
pub struct Reader {
    /// What it belongs to.
    pub family: &'static str,
    /// As the table names it.
    pub name: &'static str,
    /// In bash, which ends at the first failure, of a pipe too.
    pub script: &'static str,
    /// What it prints.
    pub says: Says,
    /// Once or serving.
    pub runs: Runs,
    /// Ways by which it reads something else: its nature, as `but` says.
    pub spares: &'static [Way],
    /// What the table says besides.
    pub but: Option<&'static str>,
}

const fn says(says: Says, name: &'static str, script: &'static str) -> Reader {
    Reader { family: "", name, script, says, runs: Runs::Once, spares: &[], but: None }
}

const fn token(name: &'static str, script: &'static str) -> Reader {
    says(Says::Token, name, script)
}

const fn serving(name: &'static str, script: &'static str) -> Reader {
    Reader { runs: Runs::Serving, ..token(name, script) }
}

const fn but(but: &'static str, spares: &'static [Way], reader: Reader) -> Reader {
    Reader { but: Some(but), spares, ..reader }
}

/// All of them, family by family.
pub fn all() -> Vec<Reader> {
    let families = [
        ("GNU coreutils", GNU),
        ("GNU and other tools", TOOLS),
        ("BusyBox", BUSYBOX),
        ("uutils", UUTILS),
        ("shells", SHELLS),
        ("C", C),
        ("Python", PYTHON),
        ("Perl", PERL),
        ("Node", NODE),
        ("Java", JAVA),
        ("Go", GO),
        ("programs", PROGRAMS),
    ];
    let of = |(family, readers): (&'static str, &[Reader])| {
        readers.iter().map(|reader| Reader { family, ..*reader }).collect::<Vec<_>>()
    };
    families.into_iter().flat_map(of).collect()
}

const GNU: &[Reader] = &[
    token("cat", "cat {file}"),
    token("cat <", "cat < {file}"),
    token("cat /dev/stdin", "cat /dev/stdin < {file}"),
    token("head -c", "head -c 4096 {file}"),
    token("head -n", "head -n 1 {file}"),
    token("tail -c", "tail -c 4096 {file}"),
    token("tail -n", "tail -n 1 {file}"),
    token("tail -c +1", "tail -c +1 {file}"),
    token("tail -f", "exec 3< <(exec tail -c +1 -f {file}); head -c {length} <&3; kill $!; wait $! || :"),
    token("tail -F", "exec 3< <(exec tail -c +1 -F {file}); head -c {length} <&3; kill $!; wait $! || :"),
    token("dd", "dd if={file} status=none"),
    token("dd bs=1", "dd if={file} bs=1 status=none"),
    token("dd iflag=direct", "dd if={file} iflag=direct bs=4096 status=none"),
    token("dd iflag=nonblock", "dd if={file} iflag=nonblock status=none"),
    token("cp", "cp {file} copy; cat copy"),
    token("cp -p", "cp -p {file} copy; cat copy"),
    token("cp -aL", "cp -aL {file} copy; cat copy"),
    token("cp --sparse=always", "cp --sparse=always {file} copy; cat copy"),
    token("install", "install -m 600 {file} copy; cat copy"),
    says(Says::Length, "wc -c", "wc -c {file}"),
    says(Says::Length, "wc -c <", "wc -c < {file}"),
    says(Says::Length, "wc -m", "wc -m {file}"),
    says(Says::Length, "stat after a read", "cat {file} > /dev/null; stat -L -c %s {file}"),
    token("base64", "base64 -w0 {file} | base64 -d"),
    token("sort", "sort {file} | tr -d '\\n'"),
    token("uniq", "uniq {file} | tr -d '\\n'"),
    token("tac", "tac {file}"),
    token("nl", "nl -w1 -s: {file} | cut -d: -f2 | tr -d '\\n'"),
    token("cut", "cut -c1- {file} | tr -d '\\n'"),
    token("fold", "fold -w 10 {file} | tr -d '\\n'"),
    token("paste", "paste {file} | tr -d '\\n'"),
    token("od", "od -An -v -tx1 {file} | xxd -r -p"),
    token("split", "split -b 7 {file}; cat x*"),
    says(Says::Sha256, "sha256sum", "sha256sum {file}"),
    token("tee <", "tee copy < {file} > /dev/null; cat copy"),
    token("shuf", "shuf {file} | tr -d '\\n'"),
    token("comm", "comm {file} /dev/null | tr -d '\\n'"),
];

const TOOLS: &[Reader] = &[
    token("tar", "tar -chf - -C $(dirname {file}) $(basename {file}) | tar -xO"),
    token("tar -z", "tar -chzf t.tgz -C $(dirname {file}) $(basename {file}); tar -xOzf t.tgz"),
    token("cpio", "echo $(basename {file}) | (cd $(dirname {file}); cpio -o -L --quiet) | cpio -i --to-stdout --quiet"),
    token("rsync", "rsync -L {file} copy; cat copy"),
    token("rsync -c", "echo old > copy; rsync -Lc {file} copy; cat copy"),
    token("rsync -aL --inplace", "echo old > copy; rsync -aL --inplace {file} copy; cat copy"),
    token("sed -n p", "sed -n p {file}"),
    token("awk", "awk 1 {file} | tr -d '\\n'"),
    token("grep", "grep -a . {file} | tr -d '\\n'"),
    token("grep -r", "grep -rh . $(dirname {file})/$(basename {file}) | tr -d '\\n'"),
    token("diff", "(diff /dev/null {file} || :) | sed -n 's/^> //p' | tr -d '\\n'"),
    token("cmp", "(cmp -l {file} /dev/zero 2> /dev/null || :) | while read -r _ byte _; do printf \"\\\\$byte\"; done"),
    token("xxd", "xxd -p {file} | xxd -r -p"),
    token("gzip", "gzip -c {file} | gzip -d"),
    token("xz", "xz -c {file} | xz -d"),
    token("bzip2", "bzip2 -c {file} | bzip2 -d"),
    token("xargs -a", "xargs -a {file} printf %s"),
    token("find -exec", "find -L {file} -size +0 -exec cat {} +"),
    token("less", "less {file} | cat"),
    token("more", "more {file} | tail -n 1 | tr -d '\\n'"),
    token("vim -R", "vim -R -u NONE -es -c 'w! copy' -c 'q!' {file} < /dev/null; tr -d '\\n' < copy"),
    token("view (vim.tiny)", "vim.tiny -R -u NONE -es -c 'w! copy' -c 'q!' {file} < /dev/null; tr -d '\\n' < copy"),
    token("emacs", "emacs -Q --batch --eval '(progn (insert-file-contents \"{file}\") (princ (buffer-string)))'"),
];

const BUSYBOX: &[Reader] = &[
    token("cat", "busybox cat {file}"),
    token("head", "busybox head -c 4096 {file}"),
    token("tail", "busybox tail -c 4096 {file}"),
    token("tail -f", "exec 3< <(exec busybox tail -c +1 -f {file}); head -c {length} <&3; kill $!; wait $! || :"),
    token("tail -F", "exec 3< <(exec busybox tail -c +1 -F {file}); head -c {length} <&3; kill $!; wait $! || :"),
    token("dd", "busybox dd if={file} 2> /dev/null"),
    token("cp", "busybox cp {file} copy; cat copy"),
    token("cp -p", "busybox cp -p {file} copy; cat copy"),
    token("tar", "busybox tar -chf - -C $(dirname {file}) $(basename {file}) | busybox tar -xO"),
    says(Says::Length, "wc -c", "busybox wc -c {file}"),
    token("sed -n", "busybox sed -n p {file} | tr -d '\\n'"),
    token("awk", "busybox awk 1 {file} | tr -d '\\n'"),
    token("grep", "busybox grep . {file} | tr -d '\\n'"),
    token("xxd", "busybox xxd -p {file} | xxd -r -p"),
    token("base64", "busybox base64 -w0 {file} | base64 -d"),
    token("sort", "busybox sort {file} | tr -d '\\n'"),
    token("diff", "(busybox diff /dev/null {file} || :) | grep -v '^+++' | sed -n 's/^+//p' | tr -d '\\n'"),
    token("gzip", "busybox gzip -c {file} | gzip -d"),
    says(Says::Sha256, "sha256sum", "busybox sha256sum {file}"),
];

const UUTILS: &[Reader] = &[
    token("cat", "coreutils cat {file}"),
    token("head", "coreutils head -c 4096 {file}"),
    token("tail", "coreutils tail -c 4096 {file}"),
    token("tail -f", "exec 3< <(exec coreutils tail -c +1 -f {file}); head -c {length} <&3; kill $!; wait $! || :"),
    token(
        "tail -F",
        "exec 3< <(exec coreutils tail -c +1 -F {file} 2> /dev/null); head -c {length} <&3; kill $!; wait $! || :",
    ),
    token("dd", "coreutils dd if={file} status=none"),
    token("cp", "coreutils cp {file} copy; cat copy"),
    token("cp -p", "coreutils cp -p {file} copy; cat copy"),
    token("install", "coreutils install -m 600 {file} copy; cat copy"),
    says(Says::Length, "wc -c", "coreutils wc -c {file}"),
    token("base64", "coreutils base64 -w0 {file} | base64 -d"),
    token("sort", "coreutils sort {file} | tr -d '\\n'"),
    token("split", "coreutils split -b 7 {file}; cat x*"),
    says(Says::Sha256, "sha256sum", "coreutils sha256sum {file}"),
    token("od", "coreutils od -An -v -tx1 {file} | xxd -r -p"),
    token("tac", "coreutils tac {file}"),
    token("cut", "coreutils cut -c1- {file} | tr -d '\\n'"),
];

const SHELLS: &[Reader] = &[
    token("bash $(<f)", "printf %s \"$(<{file})\""),
    token("bash read", "read -r x < {file} || :; printf %s \"$x\""),
    token("bash read -N", "read -r -N 9999 x < {file} || :; printf %s \"$x\""),
    token("bash mapfile", "mapfile -d '' x < {file}; printf %s \"$x\""),
    token("bash source", "command_not_found_handle() { printf %s \"$1\"; }; source {file}"),
    token("bash here string", "cat <<< \"$(cat {file})\" | tr -d '\\n'"),
    token("dash read", "dash -c 'read -r x < {file}; printf %s \"$x\"'"),
    token("dash $(cat)", "dash -c 'printf %s \"$(cat {file})\"'"),
    token("dash .", "dash -c '. {file}' 2>&1 | sed -n 's/.*: \\([^:]*\\): not found/\\1/p' | tr -d '\\n' || :"),
    token("zsh $(<f)", "zsh -fc 'printf %s \"$(<{file})\"'"),
    token("zsh read", "zsh -fc 'read -r x < {file}; printf %s \"$x\"'"),
    token("zsh mapfile", "zsh -fc 'zmodload zsh/mapfile; printf %s \"${mapfile[{file}]}\"'"),
    token("zsh sysread", "zsh -fc 'zmodload zsh/system; sysread x < {file}; printf %s \"$x\"'"),
    token("busybox sh", "busybox sh -c 'read -r x < {file}; printf %s \"$x\"'"),
];

const IO_URING: &str = "not by a bound file after a change: that is read past the pages, and the kernel's io_uring repeats a short \
                        read of such a file at its old place";

const C: &[Reader] = &[
    token("read", "$P/reader read {file}"),
    token("read by byte", "$P/reader bytes {file}"),
    token("fstat, read", "$P/reader fstat {file}"),
    token("stat, open, read", "$P/reader stat-first {file}"),
    token("fread", "$P/reader fread {file}"),
    token("fseek, ftell", "$P/reader ftell {file}"),
    token("lseek, pread", "$P/reader pread {file}"),
    token("preadv2", "$P/reader preadv2 {file}"),
    token("mmap private", "$P/reader mmap-private {file}"),
    token("mmap shared", "$P/reader mmap-shared {file}"),
    token("sendfile", "$P/reader sendfile {file}"),
    token("splice", "$P/reader splice {file}"),
    token("copy_file_range, else read", "$P/reader copy_file_range {file}"),
    but(IO_URING, &[Way::BoundFile], token("io_uring", "$P/reader io_uring {file}")),
    but(IO_URING, &[Way::BoundFile], token("io_uring, registered file", "$P/reader io_uring-fixed {file}")),
    token("O_DIRECT", "$P/reader O_DIRECT {file}"),
    token("O_NONBLOCK", "$P/reader O_NONBLOCK {file}"),
    token("openat2 RESOLVE_BENEATH", "$P/reader openat2 {file}"),
    token("ssh's strict modes", "$P/reader strict {file}"),
];

const PYTHON: &[Reader] = &[
    token("read", "python3 $P/reader.py read {file}"),
    token("text", "python3 $P/reader.py text {file}"),
    token("readline", "python3 $P/reader.py readline {file}"),
    token("unbuffered", "python3 $P/reader.py unbuffered {file}"),
    token("pathlib", "python3 $P/reader.py pathlib {file}"),
    token("mmap", "python3 $P/reader.py mmap {file}"),
    token("mmap copy", "python3 $P/reader.py mmap-copy {file}"),
    token("os.sendfile", "python3 $P/reader.py sendfile {file}"),
    token("shutil.copyfile", "python3 $P/reader.py copyfile {file}"),
    token("shutil.copy2", "python3 $P/reader.py copy2 {file}"),
    token("fileinput", "python3 $P/reader.py fileinput {file}"),
    token("linecache", "python3 $P/reader.py linecache {file}"),
    token("asyncio", "python3 $P/reader.py asyncio {file}"),
];

const PERL: &[Reader] = &[
    token("-s, read", "perl -e 'my $n = -s $ARGV[0]; open F, $ARGV[0]; read F, my $x, $n; print $x' {file}"),
    token("open, -s", "perl -e 'open F, $ARGV[0]; my $n = -s F; read F, my $x, $n; print $x' {file}"),
    token("-0777", "perl -0777 -pe '' {file}"),
    token("<>", "perl -e 'print <>' {file}"),
    token("sysread", "perl -e 'open F, $ARGV[0]; sysread F, my $x, 9999; print $x' {file}"),
    token("File::Copy", "perl -MFile::Copy -e 'copy($ARGV[0], \"copy\") or die' {file}; cat copy"),
];

const NODE: &[Reader] = &[
    token("readFileSync", "node $P/reader.js readFileSync {file}"),
    token("promises.readFile", "node $P/reader.js promises {file}"),
    token("readFile", "node $P/reader.js callback {file}"),
    token("copyFileSync", "node $P/reader.js copyFileSync {file}"),
    token("createReadStream", "node $P/reader.js stream {file}"),
    token("FileHandle.read", "node $P/reader.js handle {file}"),
];

const JAVA: &[Reader] = &[
    serving("Files.readString", "java $JAVA Reader readString"),
    serving("Files.readAllBytes", "java $JAVA Reader readAllBytes"),
    serving("Files.copy", "java $JAVA Reader copy"),
    serving("FileInputStream", "java $JAVA Reader FileInputStream"),
    serving("FileReader", "java $JAVA Reader FileReader"),
    serving("Scanner", "java $JAVA Reader Scanner"),
    serving("FileChannel.map", "java $JAVA Reader map"),
];

const GO: &[Reader] = &[
    token("os.ReadFile", "$P/go-reader ReadFile {file}"),
    token("bufio.Scanner", "$P/go-reader Scanner {file}"),
    token("io.Copy", "$P/go-reader Copy {file}"),
    token("mmap", "$P/go-reader Mmap {file}"),
];

const PROGRAMS: &[Reader] = &[
    token("curl -H @f", "python3 $P/echo.py curl -s -H @{file}.json | sed -n '/^{/p' | jq -j .token"),
    token("curl --data-binary @f", "python3 $P/echo.py curl -s --data-binary @{file} | sed '1,/^$/d'"),
    token("curl -d @f", "python3 $P/echo.py curl -s -d @{file} | sed '1,/^$/d'"),
    token("curl -T f", "python3 $P/echo.py curl -s -H Expect: -T {file} | sed '1,/^$/d'"),
    token(
        "curl -F x=<f",
        "python3 $P/echo.py curl -s -F 'x=<{file}' | tr -d '\\r' | sed '1,/^$/d' | sed '1,/^$/d' | head -n 1 | tr -d '\\n'",
    ),
    token("curl file://", "curl -s file://{file}"),
    says(Says::GitBlob, "git hash-object", "git hash-object --no-filters {file}"),
    but(
        "it compares a symbolic link itself",
        &[Way::Symlink],
        token(
            "git diff --no-index",
            "git diff --no-index --no-prefix /dev/null {file} | sed -n 's/^+\\([^+]\\)/\\1/p' | tr -d '\\n' || :",
        ),
    ),
    says(
        Says::Silence,
        "git credential-store",
        "printf 'protocol=https\\nhost=x\\n\\n' | git credential-store --file {file} get",
    ),
    token("jq --rawfile", "jq -nj --rawfile t {file} '$t'"),
    token("jq -R", "jq -Rj . {file}"),
    token("jq of token.json", "jq -j .token {file}.json"),
    says(Says::Sha256, "openssl dgst", "openssl dgst -sha256 -r {file}"),
    token("openssl base64", "openssl base64 -A -in {file} | base64 -d"),
    token(
        "openssl enc",
        "openssl enc -aes-128-cbc -K 00 -iv 00 -in {file} 2> /dev/null | openssl enc -d -aes-128-cbc -K 00 -iv 00 2> /dev/null",
    ),
];
