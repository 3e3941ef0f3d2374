// reader WAY FILE: prints FILE as WAY reads it. One process, one way, no library that could hide what is asked of the kernel.
#define _GNU_SOURCE
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <liburing.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

static char buffer[65536] __attribute__((aligned(4096)));

static int opened(const char *file, int flags) {
    int fd = open(file, O_RDONLY | O_CLOEXEC | flags);
    if (fd < 0) err(1, "open");
    return fd;
}

static size_t size_of(int fd) {
    struct stat st;
    if (fstat(fd, &st)) err(1, "fstat");
    return st.st_size;
}

static void print(const void *bytes, ssize_t count) {
    if (count < 0) err(1, "read");
    if (fwrite(bytes, 1, count, stdout) != (size_t)count) err(1, "write");
}

static void read_all(int fd) {
    ssize_t count;
    while ((count = read(fd, buffer, sizeof buffer)) != 0) print(buffer, count);
}

static void mapped(int fd, int how) {
    size_t size = size_of(fd);
    void *at = mmap(NULL, size, PROT_READ, how, fd, 0);
    if (at == MAP_FAILED) err(1, "mmap");
    close(fd);
    print(at, size);
}

// To a file beside: sendfile and copy_file_range want one, and so does who takes the size of what came.
static int other_file(void) {
    int fd = open(".", O_TMPFILE | O_RDWR, 0600);
    if (fd < 0) err(1, "O_TMPFILE");
    return fd;
}

static void print_other(int fd) {
    if (lseek(fd, 0, SEEK_SET)) err(1, "lseek");
    read_all(fd);
}

static void through_a_pipe(int fd) {
    int ends[2];
    if (pipe(ends)) err(1, "pipe");
    ssize_t count = splice(fd, NULL, ends[1], NULL, sizeof buffer, 0);
    if (count < 0) err(1, "splice");
    close(ends[1]);
    read_all(ends[0]);
}

static void copied_by_range(int fd) {
    int to = other_file();
    for (;;) {
        ssize_t count = copy_file_range(fd, NULL, to, NULL, sizeof buffer, 0);
        if (count < 0 && errno != EXDEV) err(1, "copy_file_range");
        if (count < 0) {
            // What cp and the languages do then.
            count = read(fd, buffer, sizeof buffer);
            if (count < 0 || write(to, buffer, count) != count) err(1, "read or write");
        }
        if (count == 0) break;
    }
    print_other(to);
}

static void by_ring(int fd, int fixed) {
    struct io_uring ring;
    int error = io_uring_queue_init(4, &ring, 0);
    if (error < 0) errx(1, "io_uring: %s", strerror(-error));
    if (fixed && (error = io_uring_register_files(&ring, &fd, 1)) < 0) errx(1, "register: %s", strerror(-error));
    struct io_uring_sqe *sqe = io_uring_get_sqe(&ring);
    io_uring_prep_read(sqe, fixed ? 0 : fd, buffer, sizeof buffer, 0);
    if (fixed) sqe->flags |= IOSQE_FIXED_FILE;
    io_uring_submit(&ring);
    struct io_uring_cqe *cqe;
    if (io_uring_wait_cqe(&ring, &cqe) < 0) errx(1, "no answer");
    if (cqe->res < 0) errx(1, "read: %s", strerror(-cqe->res));
    print(buffer, cqe->res);
}

static int beneath(const char *file) {
    char *base = getenv("BASE");
    int root = open(base, O_PATH | O_DIRECTORY);
    if (root < 0) err(1, "BASE");
    struct open_how how = {.flags = O_RDONLY, .resolve = RESOLVE_BENEATH};
    int fd = syscall(SYS_openat2, root, file + strlen(base) + 1, &how, sizeof how);
    if (fd < 0) err(1, "openat2");
    return fd;
}

// As ssh does with a key: regular, ours, and nobody else may read it.
static int strict(const char *file) {
    int fd = opened(file, 0);
    struct stat st;
    if (fstat(fd, &st)) err(1, "fstat");
    if (!S_ISREG(st.st_mode) || st.st_uid != geteuid() || st.st_mode & 077) errx(1, "permissions %o", st.st_mode);
    return fd;
}

int main(int argc, char **argv) {
    if (argc != 3) errx(2, "reader WAY FILE");
    const char *way = argv[1], *file = argv[2];
    if (!strcmp(way, "read")) {
        read_all(opened(file, 0));
    } else if (!strcmp(way, "fstat")) {
        int fd = opened(file, 0);
        print(buffer, read(fd, buffer, size_of(fd)));
    } else if (!strcmp(way, "stat-first")) {
        struct stat st;
        if (stat(file, &st)) err(1, "stat");
        int fd = opened(file, 0);
        print(buffer, read(fd, buffer, st.st_size));
    } else if (!strcmp(way, "bytes")) {
        int fd = opened(file, 0);
        for (char c; read(fd, &c, 1) == 1;) putchar(c);
    } else if (!strcmp(way, "fread")) {
        FILE *stream = fopen(file, "r");
        if (!stream) err(1, "fopen");
        print(buffer, fread(buffer, 1, sizeof buffer, stream));
    } else if (!strcmp(way, "ftell")) {
        FILE *stream = fopen(file, "r");
        if (!stream || fseek(stream, 0, SEEK_END)) err(1, "fopen");
        long size = ftell(stream);
        rewind(stream);
        print(buffer, fread(buffer, 1, size, stream));
    } else if (!strcmp(way, "pread")) {
        int fd = opened(file, 0);
        print(buffer, pread(fd, buffer, lseek(fd, 0, SEEK_END), 0));
    } else if (!strcmp(way, "preadv2")) {
        struct iovec parts[] = {{buffer, 10}, {buffer + 10, sizeof buffer - 10}};
        print(buffer, preadv2(opened(file, 0), parts, 2, 0, 0));
    } else if (!strcmp(way, "mmap-private")) {
        mapped(opened(file, 0), MAP_PRIVATE);
    } else if (!strcmp(way, "mmap-shared")) {
        mapped(opened(file, 0), MAP_SHARED);
    } else if (!strcmp(way, "sendfile")) {
        int fd = opened(file, 0), to = other_file();
        while (sendfile(to, fd, NULL, sizeof buffer) > 0);
        print_other(to);
    } else if (!strcmp(way, "splice")) {
        through_a_pipe(opened(file, 0));
    } else if (!strcmp(way, "copy_file_range")) {
        copied_by_range(opened(file, 0));
    } else if (!strcmp(way, "io_uring")) {
        by_ring(opened(file, 0), 0);
    } else if (!strcmp(way, "io_uring-fixed")) {
        by_ring(opened(file, 0), 1);
    } else if (!strcmp(way, "O_DIRECT")) {
        read_all(opened(file, O_DIRECT));
    } else if (!strcmp(way, "O_NONBLOCK")) {
        read_all(opened(file, O_NONBLOCK));
    } else if (!strcmp(way, "openat2")) {
        read_all(beneath(file));
    } else if (!strcmp(way, "strict")) {
        read_all(strict(file));
    } else {
        errx(2, "no way %s", way);
    }
    return fflush(stdout) ? 1 : 0;
}
