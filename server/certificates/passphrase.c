/* SPDX-License-Identifier: BSD-2-Clause */
/* passphrase.c - runs a program in a process group of its own and reads its first line. */
#include "config.h"

#include "server/certificates/passphrase.h"

#include "server/base/clock.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define LIMIT_MS 10000
#define WORDS_MAX 32
#define END_PAUSE_MS 10

#define LOOK_MS 100 /* for abortion */

extern char **environ;

static _Atomic bool is_aborted;

void
passphrase_abort(bool on)
{
    is_aborted = on;
}

static bool
is_over(uint64_t until_ms)
{
    return is_aborted || clock_monotonic_ms() >= until_ms;
}

/* Splits text in place. */
static int
split(char *text, char *words[WORDS_MAX + 1], struct err *err)
{
    int count = 0;
    char *rest = NULL;

    for (char *word = strtok_r(text, " \t", &rest); word != NULL;
         word = strtok_r(NULL, " \t", &rest)) {
        if (count == WORDS_MAX)
            return err_set(err, "key_command has more than %d words", WORDS_MAX);
        words[count++] = word;
    }
    words[count] = NULL;
    return count > 0 ? 0 : err_set(err, "key_command is empty");
}

/* Our own processes ignore and block signals that other programs expect. */
static int
set_signals(posix_spawnattr_t *attributes)
{
    sigset_t none, all;

    sigemptyset(&none);
    sigfillset(&all);
    return posix_spawnattr_setsigmask(attributes, &none) != 0 ||
                   posix_spawnattr_setsigdefault(attributes, &all) != 0 ||
                   posix_spawnattr_setpgroup(attributes, 0) != 0 ||
                   posix_spawnattr_setflags(attributes, POSIX_SPAWN_SETSIGMASK |
                                                            POSIX_SPAWN_SETSIGDEF |
                                                            POSIX_SPAWN_SETPGROUP) != 0
               ? -1
               : 0;
}

static int
start_program(char *words[], int output_fd, pid_t *pid)
{
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    int error = ENOMEM;

    if (posix_spawn_file_actions_init(&actions) != 0)
        return ENOMEM;
    if (posix_spawnattr_init(&attributes) == 0) {
        if (set_signals(&attributes) == 0 &&
            posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY,
                                             0) == 0 &&
            posix_spawn_file_actions_adddup2(&actions, output_fd, STDOUT_FILENO) == 0)
            error = posix_spawnp(pid, words[0], &actions, &attributes, words, environ);
        posix_spawnattr_destroy(&attributes);
    }
    posix_spawn_file_actions_destroy(&actions);
    return error;
}

/* Reads until the end, though only the first line counts: a program whose
 * output is cut off may call that a failure. False: the time was up. */
static bool
read_output(int fd, char *text, size_t room, size_t *bytes, uint64_t until_ms)
{
    struct pollfd poller = { .fd = fd, .events = POLLIN };
    char rest[512];

    *bytes = 0;
    for (;;) {
        bool has_room = *bytes < room;
        ssize_t got;

        if (is_over(until_ms))
            break;
        if (poll(&poller, 1, LOOK_MS) <= 0)
            continue;
        got = has_room ? read(fd, text + *bytes, room - *bytes) : read(fd, rest, sizeof(rest));
        if (got == 0 || (got < 0 && errno != EINTR)) {
            explicit_bzero(rest, sizeof(rest));
            return true;
        }
        if (got > 0 && has_room)
            *bytes += (size_t)got;
    }
    explicit_bzero(rest, sizeof(rest));
    return false;
}

/* Its exit status; -1: it was killed, by us when it took too long, or nobody
 * knows. */
static int
end_program(pid_t pid, uint64_t until_ms)
{
    int status;
    pid_t ended;

    while ((ended = waitpid(pid, &status, WNOHANG)) == 0) {
        if (is_over(until_ms)) {
            kill(-pid, SIGKILL);
            waitpid(pid, &status, 0);
            return -1;
        }
        poll(NULL, 0, END_PAUSE_MS);
    }
    return ended == pid && WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static int
run(char *words[], char *text, struct err *err)
{
    uint64_t until_ms = clock_monotonic_ms() + LIMIT_MS;
    size_t bytes;
    int ends[2], error, status;
    pid_t pid;
    bool is_whole;

    if (pipe2(ends, O_CLOEXEC) < 0)
        return err_errno(err, "key_command");
    error = start_program(words, ends[1], &pid);
    close(ends[1]);
    if (error != 0) {
        close(ends[0]);
        errno = error;
        return err_errno(err, "key_command \"%s\" cannot be run", words[0]);
    }
    is_whole = read_output(ends[0], text, PASSPHRASE_MAX - 1, &bytes, until_ms);
    close(ends[0]);
    status = end_program(pid, is_whole ? until_ms : 0);
    if (!is_whole || (status < 0 && is_over(until_ms)))
        return err_set(err, "key_command \"%s\" did not end within %d s", words[0],
                       LIMIT_MS / 1000);
    if (status < 0)
        return err_set(err, "key_command \"%s\" was killed", words[0]);
    if (status != 0)
        return err_set(err, "key_command \"%s\" failed with status %d", words[0], status);
    text[bytes] = '\0';
    return 0;
}

int
passphrase_ask(const char *command, char text[PASSPHRASE_MAX], struct err *err)
{
    char *words[WORDS_MAX + 1], *copy = strdup(command);
    int result = -1;

    if (copy == NULL)
        return err_set(err, "out of memory");
    if (split(copy, words, err) == 0)
        result = run(words, text, err);
    free(copy);
    if (result < 0)
        return -1;
    text[strcspn(text, "\r\n")] = '\0';
    return text[0] != '\0' ? (int)strlen(text)
                           : err_set(err, "key_command \"%s\" printed nothing", command);
}
