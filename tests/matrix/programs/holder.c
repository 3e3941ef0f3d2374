// holder WAY FILE: says "held" when nothing but WAY holds FILE any more, "gone" right before that goes too, and stays until its input ends.
// Each step waits for a line of input.
#define _GNU_SOURCE
#include <err.h>
#include <fcntl.h>
#include <liburing.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static void say(const char *word) {
    puts(word);
    fflush(stdout);
}

static void until_told(void) {
    char c;
    if (read(0, &c, 1) != 1) _exit(0);
}

// The moment before the last copy goes: what comes after is the delay.
static void going(void) {
    struct timespec now;
    say("held");
    until_told();
    clock_gettime(CLOCK_REALTIME, &now);
    printf("gone %lld.%09ld\n", (long long)now.tv_sec, now.tv_nsec);
    fflush(stdout);
}

static int sent(int fd) {
    int ends[2];
    if (socketpair(AF_UNIX, SOCK_STREAM, 0, ends)) err(1, "socketpair");
    char space[CMSG_SPACE(sizeof fd)] = {0}, byte = 'x';
    struct iovec part = {&byte, 1};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = space, .msg_controllen = sizeof space};
    struct cmsghdr *control = CMSG_FIRSTHDR(&message);
    *control = (struct cmsghdr){.cmsg_len = CMSG_LEN(sizeof fd), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS};
    memcpy(CMSG_DATA(control), &fd, sizeof fd);
    if (sendmsg(ends[0], &message, 0) != 1) err(1, "sendmsg");
    close(ends[0]);
    return ends[1];
}

int main(int argc, char **argv) {
    if (argc != 3) errx(2, "holder WAY FILE");
    const char *way = argv[1];
    int path_only = !strcmp(way, "O_PATH");
    int fd = open(argv[2], O_RDONLY | O_CLOEXEC);
    char c;
    if (fd < 0 || pread(fd, &c, 1, 0) != 1) err(1, "open");
    if (!strcmp(way, "open")) {
        going();
        close(fd);
    } else if (!strcmp(way, "dup")) {
        int copy = dup(fd);
        close(fd);
        going();
        close(copy);
    } else if (!strcmp(way, "fork")) {
        pid_t child = fork();
        if (child == 0) pause();
        close(fd);
        going();
        kill(child, SIGTERM);
        waitpid(child, NULL, 0);
    } else if (!strcmp(way, "exec")) {
        pid_t child = fork();
        if (child == 0) {
            fcntl(fd, F_SETFD, 0);
            execlp("sleep", "sleep", "100", NULL);
        }
        close(fd);
        going();
        kill(child, SIGTERM);
        waitpid(child, NULL, 0);
    } else if (!strcmp(way, "scm_rights")) {
        int receiver = sent(fd);
        close(fd);
        going();
        close(receiver);
    } else if (!strcmp(way, "mmap")) {
        char *at = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE, fd, 0);
        if (at == MAP_FAILED) err(1, "mmap");
        close(fd);
        going();
        munmap(at, 4096);
    } else if (!strcmp(way, "io_uring")) {
        struct io_uring ring;
        if (io_uring_queue_init(4, &ring, 0) < 0 || io_uring_register_files(&ring, &fd, 1) < 0) errx(1, "io_uring");
        close(fd);
        going();
        io_uring_unregister_files(&ring);
    } else if (path_only) {
        // Does not hold it: the lease goes with the close.
        int only = open(argv[2], O_PATH);
        going();
        close(fd);
        until_told();
        close(only);
    } else if (!strcmp(way, "killed")) {
        going();
        raise(SIGKILL);
    } else if (!strcmp(way, "stopped")) {
        // Whoever steers kills it while it stands.
        going();
        raise(SIGSTOP);
    } else {
        errx(2, "no way %s", way);
    }
    until_told();
    return 0;
}
