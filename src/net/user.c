#include "net/user.h"

#include "base/error.h"
#include "base/util.h"
#include "net/forward.h"
#include "net/stream.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

enum { HELPER_SOCKET = 3, HELPER_REPORT = 4 };

/* ---- The helper's file ---- */

static bool beside_this_program(char path[PATH_MAX])
{
    static const char name[] = "guise-net";
    ssize_t length = readlink("/proc/self/exe", path, PATH_MAX - sizeof(name));
    if (length <= 0)
        return false;
    path[length] = 0;
    strcpy(strrchr(path, '/') + 1, name);
    return access(path, X_OK) == 0;
}

static const char *find_helper(const struct net_user_config *config, char path[PATH_MAX])
{
    if (config->helper)
        return config->helper;
    return beside_this_program(path) ? path : GUISE_LIBEXEC "/guise-net";
}

/* ---- Its process ---- */

/* Both are copies above the places that they get, so that none is overwritten before it is moved. */
static int add_actions(posix_spawn_file_actions_t *actions, int socket, int report)
{
    int error = posix_spawn_file_actions_adddup2(actions, socket, HELPER_SOCKET);
    error = error ? error : posix_spawn_file_actions_adddup2(actions, report, HELPER_REPORT);
    return error ? error : posix_spawn_file_actions_addclosefrom_np(actions, HELPER_REPORT + 1);
}

/* Returns an errno value. */
static int spawn(struct net_user *u, const struct net_user_config *config, int socket, int report)
{
    char path[PATH_MAX], *none[] = {NULL};
    const char *argv[NET_USER_MAX_FORWARDS + 2] = {find_helper(config, path)};
    posix_spawn_file_actions_t actions;
    memcpy(argv + 1, config->forwards, config->count * sizeof(*argv));
    posix_spawn_file_actions_init(&actions);
    int error = add_actions(&actions, socket, report);
    if (!error)
        error = posix_spawn(&u->pid, argv[0], &actions, NULL, (char **)(uintptr_t)argv, none);
    posix_spawn_file_actions_destroy(&actions);
    return error;
}

/* Takes both descriptors. Returns an errno value. */
static int spawn_with(struct net_user *u, const struct net_user_config *config, int socket, int report)
{
    int high_socket = fcntl(socket, F_DUPFD_CLOEXEC, HELPER_REPORT + 1),
        high_report = fcntl(report, F_DUPFD_CLOEXEC, HELPER_REPORT + 1);
    int error = high_socket >= 0 && high_report >= 0 ? spawn(u, config, high_socket, high_report) : errno;
    close(high_socket);
    close(high_report);
    close(socket);
    close(report);
    return error;
}

/* Waits for the helper to say that the network is up, by saying nothing. */
static int await(int report, struct guise_error *err)
{
    char text[sizeof(err->text)];
    size_t length = 0;
    ssize_t n;
    do {
        n = read(report, text + length, sizeof(text) - 1 - length);
        length += n > 0 ? (size_t)n : 0;
    } while (n > 0 || (n < 0 && errno == EINTR));
    text[length] = 0;
    return length ? error_set(err, GUISE_E_CONFIG, "%s", text) : 0;
}

static void reap(const struct net_user *u)
{
    while (waitpid(u->pid, NULL, 0) < 0 && errno == EINTR)
        ;
}

static int start(struct net_user *u, struct loop *loop, const struct net_user_config *config,
                 const int sockets[2], const int report[2], struct guise_error *err)
{
    int error = spawn_with(u, config, sockets[1], report[1]);
    int status =
        error ? error_set_errno(err, GUISE_E_SYSTEM, error, "starting guise-net for the user-mode network")
              : await(report[0], err);
    close(report[0]);
    if (status)
        close(sockets[0]);
    else
        status = net_stream_new(&u->net, loop, sockets[0], true, err);
    if (status && !error)
        reap(u);
    return status;
}

int net_user_start(struct net_user *u, struct loop *loop, const struct net_user_config *config,
                   struct guise_error *err)
{
    struct net_forward forward;
    int sockets[2], report[2], status = 0;
    for (unsigned i = 0; i < config->count && !status; i++)
        status = net_forward_parse(&forward, config->forwards[i], err);
    if (status)
        return status;
    if (config->count > NET_USER_MAX_FORWARDS)
        return error_set(err, GUISE_E_USAGE, "more than %d port forwards", NET_USER_MAX_FORWARDS);
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sockets))
        return error_set_errno(err, GUISE_E_SYSTEM, errno, "a socket for the user-mode network");
    if (pipe2(report, O_CLOEXEC)) {
        status = error_set_errno(err, GUISE_E_SYSTEM, errno, "a pipe for the user-mode network");
        close(sockets[0]);
        close(sockets[1]);
        return status;
    }
    return start(u, loop, config, sockets, report, err);
}

/* The process would end with its socket; but who waits for it does not rely on that, and it has nothing to save. */
void net_user_stop(struct net_user *u)
{
    net_release(u->net);
    kill(u->pid, SIGKILL);
    reap(u);
}
