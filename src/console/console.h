/* A console: where the characters of a serial port or a virtio console come from and go to at the host. A backend
 * implements struct console_ops, one device attaches as its client.
 *
 * Threads: a client calls with its lock held; nothing blocks and nothing calls back from within. A backend's events
 * call the client with the client's lock held and none of the backend's own.
 * Lifetime: the console outlives its client. */
#ifndef CONSOLE_CONSOLE_H
#define CONSOLE_CONSOLE_H

#include <pthread.h>
#include <stddef.h>
#include <stdint.h>

struct console;

struct console_ops {
    /* Takes at most `length` bytes and returns how many; when fewer, `writable` is called once there is room. */
    size_t (*write)(struct console *console, const uint8_t *data, size_t length);

    /* The client can take input again, after it took less than was offered. */
    void (*resume)(struct console *console);

    void (*release)(struct console *console);
};

struct console_client_ops {
    /* Input: takes at most `length` bytes and returns how many; when fewer, it calls console_resume() in time. */
    size_t (*receive)(void *client, const uint8_t *data, size_t length);

    /* After a write that was cut short. */
    void (*writable)(void *client);

    /* The window's size in characters, when it is known first and when it changes. NULL: not of interest. */
    void (*resized)(void *client, unsigned columns, unsigned rows);
};

/* Embedded at the start of each backend. */
struct console {
    const struct console_ops *ops;
    const struct console_client_ops *client_ops; /* NULL: no client */
    void *client;
    pthread_mutex_t *client_lock;
};

/* Attaches a device, before the backend's events are served. Borrows all. */
static inline void console_attach(struct console *console, const struct console_client_ops *ops, void *client,
                                  pthread_mutex_t *lock)
{
    console->client_ops = ops;
    console->client = client;
    console->client_lock = lock;
}

static inline void console_free(struct console *console)
{
    console->ops->release(console);
}

static inline size_t console_write(struct console *console, const uint8_t *data, size_t length)
{
    return console->ops->write(console, data, length);
}

static inline void console_resume(struct console *console)
{
    console->ops->resume(console);
}

#endif
