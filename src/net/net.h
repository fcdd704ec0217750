/* A network: where a network device's Ethernet frames go to and come from at the host. A backend implements struct
 * net_ops, one device attaches as its client.
 *
 * Frames are whole: checksums are filled in and nothing is to be cut into segments.
 * Threads: all calls are made on the event loop's thread. A client calls with its lock held; nothing blocks and nothing
 * calls back from within. A backend's events call the client with the client's lock held.
 * Lifetime: the network outlives its client. */
#ifndef NET_NET_H
#define NET_NET_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    NET_MIN_FRAME = 14,    /* bytes: addresses and type */
    NET_MAX_FRAME = 65552, /* more than the longest IP packet with an Ethernet header has */
};

struct net;

struct net_ops {
    /* Takes a frame of NET_MIN_FRAME to NET_MAX_FRAME bytes. False: there is no room; `writable` is called when there
     * is. */
    bool (*send)(struct net *net, const uint8_t *frame, size_t length);

    /* After some frames were sent, or one was refused: now they go on their way, together. */
    void (*flush)(struct net *net);

    /* The client can take frames again, after it refused one. */
    void (*resume)(struct net *net);

    void (*release)(struct net *net);
};

struct net_client_ops {
    /* Takes a frame. False: there is no room for it; the client calls net_resume() in time, and is offered it again. */
    bool (*receive)(void *client, const uint8_t *frame, size_t length);

    /* After a frame was refused. */
    void (*writable)(void *client);
};

/* Embedded at the start of each backend. */
struct net {
    const struct net_ops *ops;
    const struct net_client_ops *client_ops; /* NULL: no client */
    void *client;
    pthread_mutex_t *client_lock;
    bool checked; /* checksums of the frames that come are known to be right */
};

/* Attaches a device, before the backend's events are served. Borrows all. */
static inline void net_attach(struct net *net, const struct net_client_ops *ops, void *client,
                              pthread_mutex_t *lock)
{
    net->client_ops = ops;
    net->client = client;
    net->client_lock = lock;
}

static inline bool net_send(struct net *net, const uint8_t *frame, size_t length)
{
    return net->ops->send(net, frame, length);
}

static inline void net_flush(struct net *net)
{
    net->ops->flush(net);
}

static inline void net_resume(struct net *net)
{
    net->ops->resume(net);
}

static inline void net_release(struct net *net)
{
    net->ops->release(net);
}

#endif
