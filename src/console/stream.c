/*   device ── console_write() ──> ring ──> flush() ──> out
 *   device <── deliver() <── input <── take_input() <── in
 *
 * The loop's thread runs flush(), take_input() and deliver(); any thread, with the client's lock, writes and resumes. */
#include "console/stream.h"

#include "base/error.h"
#include "base/util.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <termios.h>
#include <unistd.h>

enum {
    RING = 1 << 16,
    CHUNK = 4096, /* a pipe that poll(2) says is ready takes as much without blocking */
    INPUT = 256,
    TURN = 16, /* chunks in or out before others have their turn */
    LAST_WORDS_MS = 1000,
};

struct stream {
    struct console console;
    struct loop *loop;
    struct loop_source in, out, window; /* their descriptors are owned */
    unsigned edge; /* LOOP_EDGE for a pseudo-terminal, which is hung up while no one has it open */
    char name[32];
    struct termios saved;
    bool raw; /* `saved` is to be restored */

    struct console_escape escape;
    bool escaped; /* the last key was the escape key */
    uint8_t input[INPUT];
    size_t input_start, input_end; /* what the client has not taken */
    _Atomic bool waiting;          /* for the client to take it */

    pthread_mutex_t lock; /* of what follows; taken with the client's lock held, or alone */
    uint8_t ring[RING];
    size_t head, count; /* the oldest byte; the loop's thread alone takes bytes out */
    bool cut_short;     /* the client waits for room */
};

/* May it be read or written without blocking? What went wrong with it is found out at once, too. */
static bool is_ready(int fd, short events, int timeout_ms)
{
    struct pollfd p = {.fd = fd, .events = events};
    return fd >= 0 && poll(&p, 1, timeout_ms) > 0;
}

/* A source without its descriptor still takes kicks. */
static void drop_descriptor(struct loop_source *source)
{
    loop_want(source, 0);
    close(source->fd);
    source->fd = -1;
}

/* ---- Output ---- */

static size_t stream_write(struct console *console, const uint8_t *data, size_t length)
{
    struct stream *s = (struct stream *)console;
    pthread_mutex_lock(&s->lock);
    size_t taken = MIN(length, RING - s->count), tail = (s->head + s->count) % RING,
           first = MIN(taken, RING - tail);
    bool was_empty = !s->count;
    memcpy(s->ring + tail, data, first);
    memcpy(s->ring, data + first, taken - first);
    s->count += taken;
    s->cut_short |= taken < length;
    pthread_mutex_unlock(&s->lock);
    if (was_empty && taken)
        loop_kick(&s->out);
    return taken;
}

/* The next chunk to be written, which stays where it is until it is dropped. */
static size_t ring_next(struct stream *s, const uint8_t **data)
{
    pthread_mutex_lock(&s->lock);
    size_t length = MIN(MIN(s->count, (size_t)CHUNK), RING - s->head);
    *data = s->ring + s->head;
    pthread_mutex_unlock(&s->lock);
    return length;
}

/* Returns whether the client is to be told of room. */
static bool ring_drop(struct stream *s, size_t length)
{
    pthread_mutex_lock(&s->lock);
    s->head = (s->head + length) % RING;
    s->count -= length;
    bool tell = s->cut_short && s->count <= RING / 2;
    s->cut_short &= !tell;
    pthread_mutex_unlock(&s->lock);
    return tell;
}

static void tell_of_room(struct stream *s)
{
    pthread_mutex_t *lock = s->console.client_lock;
    if (!s->console.client_ops)
        return;
    pthread_mutex_lock(lock);
    s->console.client_ops->writable(s->console.client);
    pthread_mutex_unlock(lock);
}

/* How many bytes were written, or lost because there is no one to read them; 0: not now. */
static size_t write_out(struct stream *s, const uint8_t *data, size_t length)
{
    if (s->out.fd < 0)
        return length;
    if (!is_ready(s->out.fd, POLLOUT, 0))
        return 0;
    ssize_t written = write(s->out.fd, data, length);
    if (written >= 0)
        return (size_t)written;
    if (errno == EAGAIN || errno == EINTR)
        return 0;
    if (!s->edge)
        drop_descriptor(&s->out);
    return length;
}

static void flush(struct stream *s)
{
    const uint8_t *data;
    size_t length = 0, written = 1;
    for (int i = 0; i < TURN && (length = ring_next(s, &data)); i++) {
        written = write_out(s, data, length);
        if (!written)
            break;
        if (ring_drop(s, written))
            tell_of_room(s);
    }
    loop_want(&s->out, written ? 0 : LOOP_WRITE | s->edge);
    if (length && written)
        loop_kick(&s->out);
}

static void on_out(void *object, unsigned events)
{
    (void)events;
    flush(object);
}

/* ---- Input ---- */

/* The client may ask for more as soon as its lock is free, so it must be known by then that there is more. */
static void deliver(struct stream *s)
{
    pthread_mutex_t *lock = s->console.client_lock;
    if (!s->console.client_ops) {
        s->waiting = true;
        return;
    }
    pthread_mutex_lock(lock);
    s->input_start += s->console.client_ops->receive(s->console.client, s->input + s->input_start,
                                                     s->input_end - s->input_start);
    s->waiting = s->input_start < s->input_end;
    pthread_mutex_unlock(lock);
}

static void stream_resume(struct console *console)
{
    struct stream *s = (struct stream *)console;
    if (atomic_exchange(&s->waiting, false))
        loop_kick(&s->in);
}

/* Takes what is meant for the monitor out of the input. Returns how much is left. */
static size_t take_commands(struct stream *s, size_t length)
{
    size_t kept = 0;
    for (size_t i = 0; i < length; i++) {
        uint8_t key = s->input[i];
        bool begins = !s->escaped && s->escape.key && key == s->escape.key;
        if (!begins && (!s->escaped || key == s->escape.key))
            s->input[kept++] = key;
        else if (!begins)
            s->escape.command(s->escape.object, key);
        s->escaped = begins;
    }
    return kept;
}

/* Returns false when there is nothing, for now or for ever. */
static bool read_in(struct stream *s)
{
    if (!is_ready(s->in.fd, POLLIN, 0))
        return false;
    ssize_t length = read(s->in.fd, s->input, INPUT);
    bool ended = length == 0 || (length < 0 && errno != EAGAIN && errno != EINTR);
    if (ended && !s->edge)
        drop_descriptor(&s->in);
    s->input_start = 0;
    s->input_end = length > 0 ? take_commands(s, (size_t)length) : 0;
    return length > 0;
}

static bool has_input(const struct stream *s)
{
    return s->input_start < s->input_end;
}

static void take_input(struct stream *s)
{
    bool more = true;
    for (int i = 0; i < TURN && more && !has_input(s); i++) {
        more = read_in(s);
        if (has_input(s))
            deliver(s);
    }
    loop_want(&s->in, has_input(s) ? 0 : LOOP_READ | s->edge);
    if (s->edge && more && !has_input(s))
        loop_kick(&s->in);
}

static void on_in(void *object, unsigned events)
{
    struct stream *s = object;
    (void)events;
    if (has_input(s) && !s->waiting)
        deliver(s);
    take_input(s);
}

/* ---- The window ---- */

static void on_window(void *object, unsigned events)
{
    struct stream *s = object;
    struct signalfd_siginfo info;
    struct winsize size;
    if (events & LOOP_READ && read(s->window.fd, &info, sizeof(info)) < 0)
        return;
    if (ioctl(s->in.fd, TIOCGWINSZ, &size) || !s->console.client_ops || !s->console.client_ops->resized)
        return;
    pthread_mutex_t *lock = s->console.client_lock;
    pthread_mutex_lock(lock);
    s->console.client_ops->resized(s->console.client, size.ws_col, size.ws_row);
    pthread_mutex_unlock(lock);
}

static int watch_window(struct stream *s, struct guise_error *err)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGWINCH);
    pthread_sigmask(SIG_BLOCK, &set, NULL);
    s->window = (struct loop_source){
        .fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK), .ready = on_window, .object = s};
    int status = loop_add(s->loop, &s->window, LOOP_READ, err);
    if (!status)
        loop_kick(&s->window);
    return status;
}

/* ---- Life ---- */

/* What the guest said last is worth a moment. */
static void write_last_words(struct stream *s)
{
    const uint8_t *data;
    size_t length;
    while ((length = ring_next(s, &data)) && is_ready(s->out.fd, POLLOUT, LAST_WORDS_MS)) {
        ssize_t written = write(s->out.fd, data, length);
        if (written <= 0)
            return;
        ring_drop(s, (size_t)written);
    }
}

static void source_release(struct loop_source *source)
{
    if (source->loop)
        loop_remove(source);
    if (source->fd >= 0)
        close(source->fd);
}

static void stream_release(struct console *console)
{
    struct stream *s = (struct stream *)console;
    write_last_words(s);
    if (s->raw)
        tcsetattr(s->in.fd, TCSADRAIN, &s->saved);
    source_release(&s->in);
    source_release(&s->out);
    source_release(&s->window);
    pthread_mutex_destroy(&s->lock);
    free(s);
}

static const struct console_ops ops = {
    .write = stream_write, .resume = stream_resume, .release = stream_release};

/* Takes both descriptors, -1 being none, also when it fails. */
static int stream_new(struct stream **out, struct loop *loop, int in, int output, unsigned edge,
                      struct guise_error *err)
{
    struct stream *s = calloc(1, sizeof(*s));
    *out = s;
    if (!s) {
        close(in);
        close(output);
        return error_set(err, GUISE_E_NOMEM, "a console");
    }
    s->console.ops = &ops;
    s->loop = loop;
    s->edge = edge;
    s->in = (struct loop_source){.fd = in, .ready = on_in, .object = s};
    s->out = (struct loop_source){.fd = output, .ready = on_out, .object = s};
    s->window.fd = -1;
    pthread_mutex_init(&s->lock, NULL);
    int status = loop_add(loop, &s->in, LOOP_READ | edge, err);
    if (!status)
        status = loop_add(loop, &s->out, 0, err);
    if (status)
        stream_release(&s->console);
    return status;
}

const char *console_name(const struct console *console)
{
    return ((const struct stream *)console)->name;
}

/* ---- Kinds ---- */

/* A descriptor of our own. That of a terminal does not block, which no one who shares the terminal gets to see. */
static int own_descriptor(int fd)
{
    char path[32];
    int own = -1;
    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    if (fd >= 0 && isatty(fd))
        own = open(path, O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);
    return own < 0 && fd >= 0 ? fcntl(fd, F_DUPFD_CLOEXEC, 3) : own;
}

static int make_raw(struct stream *s, struct guise_error *err)
{
    struct termios raw;
    if (tcgetattr(s->in.fd, &s->saved))
        return error_set_errno(err, GUISE_E_SYSTEM, errno, "the terminal's settings");
    raw = s->saved;
    cfmakeraw(&raw);
    if (tcsetattr(s->in.fd, TCSADRAIN, &raw))
        return error_set_errno(err, GUISE_E_SYSTEM, errno, "the terminal's raw mode");
    s->raw = true;
    return 0;
}

int console_open_stdio(struct console **out, struct loop *loop, int in, int output,
                       const struct console_escape *escape, struct guise_error *err)
{
    struct stream *s;
    int status = stream_new(&s, loop, own_descriptor(in), own_descriptor(output), 0, err);
    if (status)
        return status;
    if (s->in.fd >= 0 && isatty(s->in.fd)) {
        s->escape = escape ? *escape : (struct console_escape){0};
        status = make_raw(s, err);
        if (!status)
            status = watch_window(s, err);
    }
    if (status)
        stream_release(&s->console);
    else
        *out = &s->console;
    return status;
}

int console_open_pty(struct console **out, struct loop *loop, struct guise_error *err)
{
    struct stream *s;
    char name[sizeof(s->name)];
    int fd = posix_openpt(O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0 || grantpt(fd) || unlockpt(fd) || ptsname_r(fd, name, sizeof(name))) {
        int error = errno;
        if (fd >= 0)
            close(fd);
        return error_set_errno(err, GUISE_E_SYSTEM, error, "a pseudo-terminal");
    }
    int status = stream_new(&s, loop, fd, fcntl(fd, F_DUPFD_CLOEXEC, 3), LOOP_EDGE, err);
    if (status)
        return status;
    memcpy(s->name, name, sizeof(name));
    *out = &s->console;
    return 0;
}

int console_open_file(struct console **out, struct loop *loop, const char *path, struct guise_error *err)
{
    struct stream *s;
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_NOCTTY | O_CLOEXEC, 0666);
    if (fd < 0)
        return error_set_errno(err, GUISE_E_IO, errno, "%s", path);
    int status = stream_new(&s, loop, -1, fd, 0, err);
    if (!status)
        *out = &s->console;
    return status;
}
