#include "net/stream.h"

#include "base/error.h"
#include "net/frames.h"

#include <stdlib.h>
#include <unistd.h>

struct stream {
    struct net net;
    struct loop_source source;
    bool refused; /* the client has no room */
    bool full;    /* the client waits for room here */
    bool ended;
    struct frames in, out;
};

static void want(struct stream *s)
{
    bool read = !s->refused && !s->ended, write = frames_pending(&s->out);
    loop_want(&s->source, (read ? LOOP_READ : 0) | (write ? LOOP_WRITE : 0));
}

static void end(struct stream *s)
{
    s->ended = true;
    frames_clear(&s->in);
    frames_clear(&s->out);
}

/* ---- Output ---- */

static void write_out(struct stream *s)
{
    if (!s->ended && !frames_write(&s->out, s->source.fd))
        end(s);
}

/* What has no receiver any more is lost. */
static bool send_frame(struct net *net, const uint8_t *frame, size_t length)
{
    struct stream *s = (struct stream *)net;
    s->full = !s->ended && !frames_add(&s->out, frame, length);
    return !s->full;
}

static bool has_room_again(const struct stream *s)
{
    return s->full && frames_pending(&s->out) <= FRAMES_CAPACITY / 2;
}

/* The client is told of room by the loop, not from within. */
static void flush(struct net *net)
{
    struct stream *s = (struct stream *)net;
    write_out(s);
    want(s);
    if (has_room_again(s))
        loop_kick(&s->source);
}

static void on_writable(struct stream *s)
{
    write_out(s);
    if (!has_room_again(s))
        return;
    s->full = false;
    if (s->net.client_ops)
        s->net.client_ops->writable(s->net.client);
}

/* ---- Input ---- */

static bool offer(const struct stream *s, const uint8_t *frame, size_t length)
{
    return !s->net.client_ops || s->net.client_ops->receive(s->net.client, frame, length);
}

/* Hands over what is there until the client has no room. */
static void deliver(struct stream *s)
{
    const uint8_t *frame;
    size_t length;
    s->refused = false;
    while (!s->refused && frames_first(&s->in, &frame, &length)) {
        s->refused = !offer(s, frame, length);
        if (!s->refused)
            frames_drop(&s->in, length);
    }
}

static void on_readable(struct stream *s)
{
    if (!frames_read(&s->in, s->source.fd))
        end(s);
    deliver(s);
}

static void resume(struct net *net)
{
    struct stream *s = (struct stream *)net;
    if (s->refused)
        loop_kick(&s->source);
}

/* ---- Events ---- */

static void serve(struct stream *s, unsigned events)
{
    if (events & LOOP_KICK)
        deliver(s);
    if (events & (LOOP_READ | LOOP_HANGUP) && !s->refused && !s->ended)
        on_readable(s);
    if (events & (LOOP_WRITE | LOOP_HANGUP | LOOP_KICK) || s->ended)
        on_writable(s);
    want(s);
}

static void ready(void *object, unsigned events)
{
    struct stream *s = object;
    pthread_mutex_t *lock = s->net.client_lock;
    if (lock)
        pthread_mutex_lock(lock);
    serve(s, events);
    if (lock)
        pthread_mutex_unlock(lock);
}

/* ---- Life ---- */

static void release(struct net *net)
{
    struct stream *s = (struct stream *)net;
    if (s->source.loop)
        loop_remove(&s->source);
    close(s->source.fd);
    frames_release(&s->in);
    frames_release(&s->out);
    free(s);
}

static const struct net_ops ops = {.send = send_frame, .flush = flush, .resume = resume, .release = release};

static int start(struct stream *s, struct loop *loop, struct guise_error *err)
{
    if (!frames_init(&s->in) || !frames_init(&s->out))
        return error_set(err, GUISE_E_NOMEM, "the buffers of a network");
    return loop_add(loop, &s->source, LOOP_READ, err);
}

int net_stream_new(struct net **net, struct loop *loop, int fd, bool checked, struct guise_error *err)
{
    struct stream *s = calloc(1, sizeof(*s));
    if (!s) {
        close(fd);
        return error_set(err, GUISE_E_NOMEM, "a network");
    }
    s->net = (struct net){.ops = &ops, .checked = checked};
    s->source = (struct loop_source){.fd = fd, .ready = ready, .object = s};
    int status = start(s, loop, err);
    if (status)
        release(&s->net);
    else
        *net = &s->net;
    return status;
}
