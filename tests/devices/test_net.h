/* A network that a test plays. Include after cmocka.h (or what stands for its assertions). */
#ifndef TESTS_TEST_NET_H
#define TESTS_TEST_NET_H

#include "net/net.h"

#include <string.h>

struct test_net {
    struct net net;
    uint8_t frame[NET_MAX_FRAME]; /* the last one sent */
    size_t length;
    unsigned sent, flushed, room, resumed; /* flushed: how many of those sent */
};

static inline bool test_net_send(struct net *net, const uint8_t *frame, size_t length)
{
    struct test_net *n = (struct test_net *)net;
    assert_true(length >= NET_MIN_FRAME && length <= NET_MAX_FRAME);
    if (!n->room)
        return false;
    n->room--;
    n->sent++;
    n->length = length;
    memcpy(n->frame, frame, length);
    return true;
}

static inline void test_net_flush(struct net *net)
{
    struct test_net *n = (struct test_net *)net;
    n->flushed = n->sent;
}

static inline void test_net_resume(struct net *net)
{
    ((struct test_net *)net)->resumed++;
}

static inline void test_net_init(struct test_net *n, unsigned room)
{
    static const struct net_ops ops = {
        .send = test_net_send, .flush = test_net_flush, .resume = test_net_resume};
    *n = (struct test_net){.net = {.ops = &ops, .checked = true}, .room = room};
}

static inline bool test_net_deliver(struct test_net *n, const uint8_t *frame, size_t length)
{
    pthread_mutex_lock(n->net.client_lock);
    bool taken = n->net.client_ops->receive(n->net.client, frame, length);
    pthread_mutex_unlock(n->net.client_lock);
    return taken;
}

static inline void test_net_make_room(struct test_net *n, unsigned room)
{
    n->room += room;
    pthread_mutex_lock(n->net.client_lock);
    n->net.client_ops->writable(n->net.client);
    pthread_mutex_unlock(n->net.client_lock);
}

#endif
