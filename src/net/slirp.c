#include "net/slirp.h"

#include "base/error.h"
#include "base/util.h"
#include "net/frames.h"

#include <arpa/inet.h>
#include <poll.h>
#include <slirp/libslirp.h>
#include <stdlib.h>
#include <time.h>

#define NS_PER_MS 1000000

struct timer {
    SlirpTimerCb expire;
    void *object;
    int64_t deadline; /* ms; -1: none */
    struct timer *next;
};

struct net_slirp {
    Slirp *slirp;
    struct frames in, out;
    struct timer *timers;
    struct pollfd *fds; /* the first is the socket */
    unsigned count, capacity;
};

/* ---- What libslirp asks for ---- */

/* There is always room for a few: libslirp is not asked for more while `out` fills. */
static ssize_t on_packet(const void *packet, size_t length, void *object)
{
    struct net_slirp *s = object;
    frames_add(&s->out, packet, length);
    return (ssize_t)length;
}

static void on_guest_error(const char *message, void *object)
{
    (void)message;
    (void)object;
}

static int64_t now(void *object)
{
    struct timespec t;
    (void)object;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 * NS_PER_MS + t.tv_nsec;
}

static void *timer_new(SlirpTimerCb expire, void *timer_object, void *object)
{
    struct net_slirp *s = object;
    struct timer *t = malloc(sizeof(*t));
    if (!t)
        abort();
    *t = (struct timer){.expire = expire, .object = timer_object, .deadline = -1, .next = s->timers};
    s->timers = t;
    return t;
}

static void timer_free(void *timer, void *object)
{
    struct net_slirp *s = object;
    struct timer **link = &s->timers;
    while (*link != timer)
        link = &(*link)->next;
    *link = (*link)->next;
    free(timer);
}

static void timer_set(void *timer, int64_t deadline, void *object)
{
    (void)object;
    ((struct timer *)timer)->deadline = deadline;
}

/* Descriptors are asked for anew in each round, by the thread that serves them. */
static void on_descriptor(int fd, void *object)
{
    (void)fd;
    (void)object;
}

static void on_notify(void *object)
{
    (void)object;
}

/* ---- Descriptors ---- */

static unsigned add_fd(struct net_slirp *s, int fd, short events)
{
    if (s->count == s->capacity) {
        s->capacity = s->capacity ? 2 * s->capacity : 64;
        s->fds = realloc(s->fds, s->capacity * sizeof(*s->fds));
        if (!s->fds)
            abort();
    }
    s->fds[s->count] = (struct pollfd){.fd = fd, .events = events};
    return s->count++;
}

static const struct {
    int slirp;
    short poll;
} bits[] = {{SLIRP_POLL_IN, POLLIN},
            {SLIRP_POLL_OUT, POLLOUT},
            {SLIRP_POLL_PRI, POLLPRI},
            {SLIRP_POLL_ERR, POLLERR},
            {SLIRP_POLL_HUP, POLLHUP}};

static int on_poll(int fd, int events, void *object)
{
    short wanted = 0;
    for (unsigned i = 0; i < ARRAY_SIZE(bits); i++)
        wanted = (short)(wanted | (events & bits[i].slirp ? bits[i].poll : 0));
    return (int)add_fd(object, fd, wanted);
}

static int on_events(int index, void *object)
{
    const struct net_slirp *s = object;
    int events = 0;
    for (unsigned i = 0; i < ARRAY_SIZE(bits); i++)
        events |= s->fds[index].revents & bits[i].poll ? bits[i].slirp : 0;
    return events;
}

/* ---- Rounds ---- */

static int timeout(const struct net_slirp *s, uint32_t slirp)
{
    int64_t wait = slirp < INT32_MAX ? slirp : INT32_MAX;
    for (const struct timer *t = s->timers; t; t = t->next)
        if (t->deadline >= 0)
            wait = MIN(wait, MAX(t->deadline - now(NULL) / NS_PER_MS, 0));
    return wait == INT32_MAX ? -1 : (int)wait;
}

/* A timer may go when another expires, so the list is looked through anew. */
static void expire_timers(struct net_slirp *s)
{
    int64_t time = now(NULL) / NS_PER_MS;
    struct timer *t = s->timers;
    while (t) {
        if (t->deadline < 0 || t->deadline > time) {
            t = t->next;
            continue;
        }
        t->deadline = -1;
        t->expire(t->object);
        t = s->timers;
    }
}

static bool take_frames(struct net_slirp *s)
{
    const uint8_t *frame;
    size_t length;
    if (!(s->fds[0].revents & (POLLIN | POLLHUP | POLLERR)))
        return true;
    if (!frames_read(&s->in, s->fds[0].fd))
        return false;
    while (frames_first(&s->in, &frame, &length)) {
        slirp_input(s->slirp, frame, (int)length);
        frames_drop(&s->in, length);
    }
    return true;
}

/* While the guest does not take what is there, the host's sockets wait. */
static bool serve(struct net_slirp *s)
{
    uint32_t wait = UINT32_MAX;
    bool ask = frames_pending(&s->out) < FRAMES_CAPACITY / 4;
    s->count = 1;
    s->fds[0].events = frames_pending(&s->out) ? POLLIN | POLLOUT : POLLIN;
    if (ask)
        slirp_pollfds_fill(s->slirp, &wait, on_poll, s);
    int ready = poll(s->fds, s->count, timeout(s, wait));
    if (ask)
        slirp_pollfds_poll(s->slirp, ready < 0, on_events, s);
    expire_timers(s);
    return (ready < 0 || take_frames(s)) && frames_write(&s->out, s->fds[0].fd);
}

void net_slirp_run(struct net_slirp *s)
{
    while (serve(s))
        ;
}

/* ---- Life ---- */

static SlirpConfig configuration(void)
{
    SlirpConfig c = {.version = 4, .in_enabled = true, .in6_enabled = true, .vprefix_len = 64};
    inet_pton(AF_INET, "10.0.2.0", &c.vnetwork);
    inet_pton(AF_INET, "255.255.255.0", &c.vnetmask);
    inet_pton(AF_INET, "10.0.2.2", &c.vhost);
    inet_pton(AF_INET, "10.0.2.3", &c.vnameserver);
    inet_pton(AF_INET, "10.0.2.15", &c.vdhcp_start);
    inet_pton(AF_INET6, "fec0::", &c.vprefix_addr6);
    inet_pton(AF_INET6, "fec0::2", &c.vhost6);
    inet_pton(AF_INET6, "fec0::3", &c.vnameserver6);
    return c;
}

static int forward(const struct net_slirp *s, const struct net_forward *f, struct guise_error *err)
{
    char address[INET_ADDRSTRLEN];
    if (slirp_add_hostfwd(s->slirp, f->udp, f->host, f->host_port, f->guest, f->guest_port) == 0)
        return 0;
    return error_set(err, GUISE_E_CONFIG,
                     "port %u of %s cannot be forwarded: it is in use or needs privileges", f->host_port,
                     inet_ntop(AF_INET, &f->host, address, sizeof(address)));
}

int net_slirp_new(struct net_slirp **slirp, int fd, const struct net_forward *forwards, unsigned count,
                  struct guise_error *err)
{
    static const SlirpCb callbacks = {.send_packet = on_packet,
                                      .guest_error = on_guest_error,
                                      .clock_get_ns = now,
                                      .timer_new = timer_new,
                                      .timer_free = timer_free,
                                      .timer_mod = timer_set,
                                      .register_poll_fd = on_descriptor,
                                      .unregister_poll_fd = on_descriptor,
                                      .notify = on_notify};
    SlirpConfig config = configuration();
    struct net_slirp *s = calloc(1, sizeof(*s));
    if (!s || !frames_init(&s->in) || !frames_init(&s->out) ||
        !(s->slirp = slirp_new(&config, &callbacks, s))) {
        if (s)
            net_slirp_free(s);
        return error_set(err, GUISE_E_NOMEM, "the user-mode network");
    }
    int status = 0;
    add_fd(s, fd, 0);
    for (unsigned i = 0; i < count && !status; i++)
        status = forward(s, &forwards[i], err);
    if (status)
        net_slirp_free(s);
    else
        *slirp = s;
    return status;
}

void net_slirp_free(struct net_slirp *s)
{
    if (s->slirp)
        slirp_cleanup(s->slirp);
    while (s->timers)
        timer_free(s->timers, s);
    frames_release(&s->in);
    frames_release(&s->out);
    free(s->fds);
    free(s);
}
