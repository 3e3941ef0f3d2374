//! The writers: one row each. `$R` is a role with `ttl = "10m"`, `$N` a document with `ttl = "{value}"`, `$D` the directory of roles, `$P` that of
//! the helper programs. A script runs in an empty directory of its own.

/// What a good document leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Leads {
    /// It is in force.
    Commits,
    /// Nothing: it was not written to its end, or only cut to nothing.
    Nothing,
}

/// A row of the matrix.
pub struct Writer {
    /// What it belongs to.
    pub family: &'static str,
    /// As the table names it.
    pub name: &'static str,
    /// In bash.
    pub script: &'static str,
    /// What a good document leads to.
    pub leads: Leads,
}

const fn row(name: &'static str, script: &'static str) -> Writer {
    Writer { family: "", name, script, leads: Leads::Commits }
}

const fn nothing(name: &'static str, script: &'static str) -> Writer {
    Writer { leads: Leads::Nothing, ..row(name, script) }
}

/// All of them, family by family.
pub fn all() -> Vec<Writer> {
    let families = [
        ("shells", SHELLS),
        ("coreutils", COREUTILS),
        ("in place", IN_PLACE),
        ("vim", VIM),
        ("editors", EDITORS),
        ("Ansible", ANSIBLE),
        ("programs", PROGRAMS),
        ("languages", LANGUAGES),
        ("half-way", HALF_WAY),
    ];
    let of = |(family, writers): (&'static str, &'static [Writer])| {
        writers.iter().map(move |writer| Writer { family, ..*writer })
    };
    families.into_iter().flat_map(of).collect()
}

const SHELLS: &[Writer] = &[
    row("bash echo >", "echo \"$(<$N)\" > $R"),
    row("bash >>", "echo 'max_ttl = \"{value}\"' >> $R"),
    row("bash printf >", "printf '%s\\n' \"$(<$N)\" > $R"),
    row("bash here document", "cat > $R <<EOF\n$(<$N)\nEOF"),
    row("bash group >", "{ head -n 1 $N; tail -n +2 $N; } > $R"),
    row("bash script with exec >", "bash -c 'exec > $R; cat $N'; sleep 0.1"),
    row("dash echo >", "dash -c 'echo \"$(cat $N)\" > $R'"),
    row("dash >>", "dash -c 'echo \"max_ttl = \\\"{value}\\\"\" >> $R'"),
    row("zsh echo >", "zsh -fc 'print -r -- \"$(<$N)\" > $R'"),
    row("busybox sh echo >", "busybox sh -c 'echo \"$(cat $N)\" > $R'"),
];

const COREUTILS: &[Writer] = &[
    row("cat >", "cat $N > $R"),
    row("tee", "tee $R < $N > /dev/null"),
    row("tee -a", "echo 'max_ttl = \"{value}\"' | tee -a $R > /dev/null"),
    row("cp", "cp $N $R"),
    row("cp -p", "cp -p $N $R"),
    row("cp -f", "cp -f $N $R"),
    row("cp --remove-destination", "cp --remove-destination $N $R"),
    row("cp -b", "cp -b $N $R"),
    row("install -m", "install -m 644 $N $R"),
    row("dd", "dd if=$N of=$R status=none"),
    row("dd bs=7", "dd if=$N of=$R bs=7 status=none"),
    row("dd oflag=direct", "dd if=$N of=$R bs=4096 oflag=direct status=none"),
    row("sort -o", "sort -o $R $N"),
    row("mv over, from elsewhere", "cp $N /dev/shm/$$; mv -f /dev/shm/$$ $R"),
    row("mv over, in roles/", "cp $N $R.tmp; mv -f $R.tmp $R"),
    row("busybox cp", "busybox cp $N $R"),
    row("busybox tee", "busybox tee $R < $N > /dev/null"),
    row("busybox dd", "busybox dd if=$N of=$R 2> said || { cat said; false; }"),
    row("uutils cp", "coreutils cp $N $R"),
    row("uutils tee", "coreutils tee $R < $N > /dev/null"),
    row("uutils install", "coreutils install -m 644 $N $R"),
    row("uutils dd", "coreutils dd if=$N of=$R status=none"),
    nothing("truncate -s 0", "truncate -s 0 $R"),
    nothing(": >", ": > $R"),
];

const IN_PLACE: &[Writer] = &[
    row("sed -i", "sed -i s/10m/{value}/ $R"),
    row("sed -i.bak", "sed -i.bak s/10m/{value}/ $R"),
    row("busybox sed -i", "busybox sed -i s/10m/{value}/ $R"),
    row("perl -pi", "perl -pi -e s/10m/{value}/ $R"),
    row("perl -pi.bak", "perl -pi.bak -e s/10m/{value}/ $R"),
];

const VIM: &[Writer] = &[
    row("default", "python3 $P/typed.py ':%s/10m/{value}/\\r|:wq\\r|:q!\\r' vim -u NONE -N $R"),
    row("backupcopy=yes", "python3 $P/typed.py ':set bkc=yes\\r|:%s/10m/{value}/\\r|:wq\\r|:q!\\r' vim -u NONE -N $R"),
    row("backupcopy=no", "python3 $P/typed.py ':set bkc=no\\r|:%s/10m/{value}/\\r|:wq\\r|:q!\\r' vim -u NONE -N $R"),
    row(
        "backupcopy=auto",
        "python3 $P/typed.py ':set bkc=auto\\r|:%s/10m/{value}/\\r|:wq\\r|:q!\\r' vim -u NONE -N $R",
    ),
    row(
        "backup, backupcopy=yes",
        "python3 $P/typed.py ':set bk bkc=yes\\r|:%s/10m/{value}/\\r|:wq\\r|:q!\\r' vim -u NONE -N $R",
    ),
    row(
        "backup, backupcopy=no",
        "python3 $P/typed.py ':set bk bkc=no\\r|:%s/10m/{value}/\\r|:wq\\r|:q!\\r' vim -u NONE -N $R",
    ),
    row("nowritebackup", "python3 $P/typed.py ':set nowb\\r|:%s/10m/{value}/\\r|:wq\\r|:q!\\r' vim -u NONE -N $R"),
    row("ex (vim -es)", "vim -u NONE -es -c '%s/10m/{value}/' -c wq $R < /dev/null"),
];

const EDITORS: &[Writer] = &[
    row("nano", "python3 $P/typed.py '\\x1c|10m\\r|{value}\\r|a|\\x0f|\\r|\\x18|n' nano $R"),
    row("busybox vi", "python3 $P/typed.py ':%s/10m/{value}/\\r|:wq\\r|:q!\\r' busybox vi $R"),
    row("emacs", "emacs -Q --batch $R --eval '(progn (replace-string \"10m\" \"{value}\") (save-buffer))'"),
    row(
        "emacs, backup-by-copying",
        "emacs -Q --batch --eval '(setq backup-by-copying t)' $R --eval '(progn (replace-string \"10m\" \"{value}\") (save-buffer))'",
    ),
    row(
        "emacs, no backup",
        "emacs -Q --batch --eval '(setq make-backup-files nil)' $R --eval '(progn (replace-string \"10m\" \"{value}\") (save-buffer))'",
    ),
    row(
        "emacs, file-precious-flag",
        "emacs -Q --batch --eval '(setq-default file-precious-flag t)' $R --eval '(progn (replace-string \"10m\" \"{value}\") (save-buffer))'",
    ),
];

const ANSIBLE: &[Writer] = &[
    row("copy", "ansible localhost -m copy -a \"src=$N dest=$R\""),
    row("template", "ansible localhost -m template -a \"src=$N dest=$R\""),
    row("lineinfile", "ansible localhost -m lineinfile -a \"path=$R regexp=^ttl line='ttl = \\\"{value}\\\"'\""),
];

const PROGRAMS: &[Writer] = &[
    row("rsync", "rsync -c $N $R"),
    row("rsync --inplace", "rsync -c --inplace $N $R"),
    row("rsync -b", "rsync -cb $N $R"),
    row("curl -o", "curl -s -o $R file://$N"),
    row("tar -x", "cp $N $(basename $R); tar -cf t.tar $(basename $R); tar -xf t.tar -C $D"),
    row("tar -x --overwrite", "cp $N $(basename $R); tar -cf t.tar $(basename $R); tar -xf t.tar --overwrite -C $D"),
    row(
        "git checkout",
        "git init -q repo; cp $N repo/$(basename $R); git -C repo add .; git --git-dir=$PWD/repo/.git --work-tree=$D checkout -f -- $(basename $R)",
    ),
    row(
        "jq",
        "jq -n --arg t {value} --arg d \"$(sed -n 's/^team_id = \"\\(.*\\)\"/\\1/p' $N)\" '{team_id: $d, credential_type: \"team\", ttl: $t}' > $R",
    ),
    row("openssl -out", "openssl enc -base64 -A -in $N | openssl enc -base64 -A -d -out $R"),
];

const LANGUAGES: &[Writer] = &[
    row("Python open('w')", "python3 $P/writer.py w $N $R"),
    row("Python open('r+')", "python3 $P/writer.py r+ $N $R"),
    row("Python write_text", "python3 $P/writer.py pathlib $N $R"),
    row("Python copyfile", "python3 $P/writer.py copyfile $N $R"),
    row("Python copy2", "python3 $P/writer.py copy2 $N $R"),
    row("Python move", "python3 $P/writer.py move $N $R"),
    row("Python fileinput", "python3 $P/writer.py fileinput $N $R"),
    row("Python tempfile, os.replace", "python3 $P/writer.py replace $N $R"),
    row("Python atomicwrites", "python3 $P/writer.py atomicwrites $N $R"),
    row("Perl", "perl -e 'open F, \">\", $ARGV[1] or die; print F `cat $ARGV[0]`; close F or die $!' $N $R"),
    row("Perl File::Copy", "perl -MFile::Copy -e 'copy(@ARGV) or die $!' $N $R"),
    row("Node writeFileSync", "node $P/writer.js writeFileSync $N $R"),
    row("Node promises.writeFile", "node $P/writer.js promises $N $R"),
    row("Node copyFileSync", "node $P/writer.js copyFileSync $N $R"),
    row("Node createWriteStream", "node $P/writer.js stream $N $R"),
    row("Node renameSync", "node $P/writer.js rename $N $R"),
    row("Java writeString", "java $JAVA Writer writeString $N $R"),
    row("Java copy", "java $JAVA Writer copy $N $R"),
    row("Java FileWriter", "java $JAVA Writer FileWriter $N $R"),
    row("Java move", "java $JAVA Writer move $N $R"),
    row("Go WriteFile", "$P/go-writer WriteFile $N $R"),
    row("Go Rename", "$P/go-writer Rename $N $R"),
];

const HALF_WAY: &[Writer] = &[
    row(
        "two at once",
        "half() { { head -c 20 $N; sleep 0.2; tail -c +21 $N; } > half$1; cat half$1 > $R; }; half 1 & half 2 & wait -n && wait -n",
    ),
    row(
        "two at once, interleaved",
        "exec 3> $R 4> $R; head -c 20 $N >&3; head -c 30 $N >&4; tail -c +21 $N >&3; tail -c +31 $N >&4; sleep 0.1",
    ),
    nothing("kill -9 in the middle", "bash -c 'exec 3> $R; head -c 30 $N >&3; kill -9 $$' 2> /dev/null || :"),
    nothing("SIGTERM in the middle", "bash -c 'exec 3> $R; head -c 30 $N >&3; kill -TERM $$' 2> /dev/null || :"),
    nothing("kill -9 after all was written", "bash -c 'exec 3> $R; cat $N >&3; kill -9 $$' 2> /dev/null || :"),
    nothing("dd killed", "{ head -c 30 $N; sleep 9; } | dd of=$R bs=10 status=none & sleep 0.3; kill -9 $!; sleep 0.1"),
];
