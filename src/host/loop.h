/* An event loop: one thread that waits for descriptors, for other threads and for one deadline, and calls whoever is
 * concerned. Nothing that it calls may block.
 *
 * Threads: loop_run() is the loop's thread; loop_kick(), loop_wake() and loop_stop() may be called from any; the rest
 * from the loop's thread, or while it does not run.
 * Lifetime: a source is removed before it goes; loop_init() ... loop_release(), without sources.
 * Source: epoll(7), eventfd(2). */
#ifndef HOST_LOOP_H
#define HOST_LOOP_H

#include <guise.h>
#include <stdbool.h>
#include <stdint.h>

enum {
    LOOP_READ = 1,
    LOOP_WRITE = 2,
    LOOP_HANGUP = 4, /* told, without being asked for, to who waits for anything */
    LOOP_KICK = 8,
    LOOP_EDGE = 16, /* asked for: changes are told once */
};

struct loop;
struct epoll_event;

struct loop_source {
    int fd; /* borrowed; -1: kicks alone */
    void (*ready)(void *object, unsigned events);
    void *object;

    /* The loop's. */
    struct loop *loop;
    struct loop_source *next;
    unsigned wanted;
    bool always_ready; /* a regular file, which epoll does not take */
    _Atomic bool kicked;
};

struct loop {
    int epoll_fd, wake_fd;
    struct loop_source *first, *cursor; /* `cursor`: the next to be looked at */
    struct epoll_event *events;         /* being served */
    int event_count;
    _Atomic bool kicked, stopped;

    /* The next deadline: `timeout` says how many nanoseconds are left (UINT64_MAX: none), `expire` is called when
     * loop_run() has slept that long, or less. May be NULL. */
    uint64_t (*timeout)(void *object);
    void (*expire)(void *object);
    void *object;
};

int loop_init(struct loop *loop, struct guise_error *err);
void loop_release(struct loop *loop);

/* Adds a source whose first three members are filled. `wanted`: LOOP_READ, LOOP_WRITE, LOOP_EDGE; 0: nothing is waited
 * for. */
int loop_add(struct loop *loop, struct loop_source *source, unsigned wanted, struct guise_error *err);
void loop_want(struct loop_source *source, unsigned wanted);
void loop_remove(struct loop_source *source);

/* Has the source called with LOOP_KICK, once for all kicks before. */
void loop_kick(struct loop_source *source);

/* The deadline has moved. */
void loop_wake(struct loop *loop);

/* Serves events until loop_stop(), which may come first. It may then run again. */
void loop_run(struct loop *loop);
void loop_stop(struct loop *loop);

#endif
