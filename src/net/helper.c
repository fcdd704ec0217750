/* guise-net: the process of a user-mode network. `guise-net FORWARD...` serves the stream socket that is its descriptor
 * 3 until the other end goes. Descriptor 4 is a pipe that gets what went wrong, and is closed without a word when the
 * network is up. */
#include "net/slirp.h"

#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

enum { SOCKET = 3, REPORT = 4 };

static int start(struct net_slirp **slirp, int count, char **texts, struct guise_error *err)
{
    struct net_forward *forwards = calloc((size_t)count + 1, sizeof(*forwards));
    int status = 0;
    for (int i = 0; i < count && !status; i++)
        status = net_forward_parse(&forwards[i], texts[i], err);
    if (!status)
        status = net_slirp_new(slirp, SOCKET, forwards, (unsigned)count, err);
    free(forwards);
    return status;
}

/* It is the guest's now: neither messages of libraries nor a descriptor that someone waits to be closed belong
 * there. */
static void leave_terminal(void)
{
    int fd = open("/dev/null", O_RDWR);
    for (int i = STDIN_FILENO; fd >= 0 && i <= STDERR_FILENO; i++)
        dup2(fd, i);
    if (fd > STDERR_FILENO)
        close(fd);
}

int main(int argc, char **argv)
{
    struct guise_error err;
    struct net_slirp *slirp;
    signal(SIGPIPE, SIG_IGN);
    signal(SIGINT, SIG_IGN); /* of the terminal, meant for the guest */
    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
    if (start(&slirp, argc - 1, argv + 1, &err))
        return write(REPORT, err.text, strlen(err.text)) < 0 ? 2 : 1;
    close(REPORT);
    leave_terminal();
    net_slirp_run(slirp);
    net_slirp_free(slirp);
    return 0;
}
