#include "devices/virtio/net.h"

#include <assert.h>
#include <stddef.h>
#include <string.h>

#define F_CSUM          VIRTIO_F(0)
#define F_GUEST_CSUM    VIRTIO_F(1)
#define F_MAC           VIRTIO_F(5)
#define F_MRG_RXBUF     VIRTIO_F(15)
#define F_STATUS        VIRTIO_F(16)
#define F_CTRL_VQ       VIRTIO_F(17)
#define F_CTRL_RX       VIRTIO_F(18)
#define F_MQ            VIRTIO_F(22)
#define F_CTRL_MAC_ADDR VIRTIO_F(23)

enum { STATUS_LINK_UP = 1 };
enum { HEADER_NEEDS_CSUM = 1, HEADER_DATA_VALID = 2, HEADER_GSO_NONE = 0 };
enum { MOST_BUFFERS = 64 }; /* that a frame is spread over */

struct header {
    uint8_t flags, gso_type;
    uint16_t header_length, gso_size, csum_start, csum_offset, buffers;
};

static unsigned max_pairs(const struct virtio_net *vn)
{
    return vn->space.max_pairs;
}

/* ---- Reception ---- */

static uint32_t get32(const uint8_t *at)
{
    uint32_t value;
    memcpy(&value, at, sizeof(value));
    return value;
}

/* The same for both directions of a flow; 0 for what is neither IPv4 nor IPv6. Fragments and options do not matter: a
 * flow keeps its pair as long as its packets look alike. */
static uint32_t flow_hash(const uint8_t *frame, size_t length)
{
    enum { TYPE = 12, IPV4 = 14 + 12, IPV6 = 14 + 8 };
    uint32_t hash = 0;
    bool v4 = frame[TYPE] == 0x08 && frame[TYPE + 1] == 0x00,
         v6 = frame[TYPE] == 0x86 && frame[TYPE + 1] == 0xdd;
    unsigned at = v4 ? IPV4 : IPV6, words = v4 ? 3 : 9; /* addresses, and both ports in a word */
    if ((!v4 && !v6) || length < at + 4 * words)
        return 0;
    for (unsigned i = 0; i + 1 < words; i++)
        hash ^= get32(frame + at + 4 * i);
    uint32_t ports = get32(frame + at + 4 * (words - 1));
    hash ^= (ports ^ ports >> 16) & 0xffff;
    return (hash * 0x9e3779b1u) >> 16;
}

static unsigned queue_for(const struct virtio_net *vn, const uint8_t *frame, size_t length)
{
    return vn->pairs > 1 ? 2 * (flow_hash(frame, length) % vn->pairs) : 0;
}

/* Header and frame, seen as one, from `offset` on into a chain. */
static uint32_t put_part(const struct virtq *q, const struct virtq_chain *c, const struct header *header,
                         const uint8_t *frame, size_t length, size_t offset)
{
    size_t done = 0;
    if (offset < sizeof(*header))
        done = virtq_write(c, 0, (const uint8_t *)header + offset, sizeof(*header) - offset);
    if (offset + done >= sizeof(*header)) {
        size_t at = offset + done - sizeof(*header);
        done += virtq_write(c, done, frame + at, length - at);
    }
    virtq_mark(q, c, (uint32_t)done);
    return (uint32_t)done;
}

enum outcome { TAKEN, NO_ROOM, DROPPED };

/* The buffers of a frame are handed back together when it is all there; if it does not fit they stay in the queue. */
static enum outcome put_frame(struct virtio_net *vn, unsigned queue, const uint8_t *frame, size_t length)
{
    struct virtq *q = &vn->queues[queue];
    struct header header = {.buffers = 1};
    size_t total = sizeof(header) + length, done = 0;
    uint16_t most = virtio_has(&vn->device, F_MRG_RXBUF) ? MOST_BUFFERS : 1, count = 0;
    if (virtio_has(&vn->device, F_GUEST_CSUM) && vn->net->checked)
        header.flags = HEADER_DATA_VALID;
    while (done < total) {
        struct virtq_chain *c = count ? &vn->chain : &vn->first;
        bool full = count == most;
        if (full || !virtio_pop(&vn->device, queue, c)) {
            virtq_unpop(q, count);
            return full || !virtio_is_live(&vn->device) ? DROPPED : NO_ROOM;
        }
        uint32_t part = put_part(q, c, &header, frame, length, done);
        virtq_fill(q, count++, c->head, part);
        done += part;
    }
    virtq_write(&vn->first, offsetof(struct header, buffers), &count, sizeof(count));
    virtq_publish(q, count);
    virtio_interrupt(&vn->device, queue);
    return TAKEN;
}

/* Without a driver the frame is lost, as without a cable. */
static bool on_receive(void *client, const uint8_t *frame, size_t length)
{
    struct virtio_net *vn = client;
    unsigned queue = queue_for(vn, frame, length);
    if (!virtio_is_live(&vn->device) || !vn->queues[queue].ready)
        return true;
    return put_frame(vn, queue, frame, length) != NO_ROOM;
}

/* ---- Transmission ---- */

/* The Internet checksum from `start` on, where the field has the sum of the pseudo header. */
static bool complete_checksum(uint8_t *frame, size_t length, size_t start, size_t offset)
{
    uint64_t sum = 0;
    size_t i = start;
    uint16_t word;
    if (start + offset + sizeof(word) > length)
        return false;
    for (; i + 1 < length; i += 2) {
        memcpy(&word, frame + i, sizeof(word));
        sum += word;
    }
    if (i < length)
        sum += frame[i];
    while (sum >> 16)
        sum = (sum & 0xffff) + (sum >> 16);
    word = (uint16_t)~sum;
    word = word ? word : 0xffff; /* the same number, and in UDP 0 would say that there is no checksum */
    memcpy(frame + start + offset, &word, sizeof(word));
    return true;
}

/* Returns false when the network has no room. What cannot be sent is dropped. */
static bool send_chain(struct virtio_net *vn, const struct virtq_chain *c, const struct header *header)
{
    size_t length = c->readable_length - sizeof(*header);
    if (length < NET_MIN_FRAME || length > NET_MAX_FRAME || header->gso_type != HEADER_GSO_NONE)
        return true;
    virtq_read(c, sizeof(*header), vn->frame, length);
    if (header->flags & HEADER_NEEDS_CSUM &&
        !complete_checksum(vn->frame, length, header->csum_start, header->csum_offset))
        return true;
    return net_send(vn->net, vn->frame, length);
}

static bool transmit_one(struct virtio_net *vn, unsigned queue)
{
    struct header header;
    if (!virtio_pop(&vn->device, queue, &vn->chain))
        return false;
    if (virtq_read(&vn->chain, 0, &header, sizeof(header)) != sizeof(header)) {
        virtio_break(&vn->device);
        return false;
    }
    if (!send_chain(vn, &vn->chain, &header)) {
        virtq_unpop(&vn->queues[queue], 1);
        return false;
    }
    virtio_push(&vn->device, queue, &vn->chain, 0);
    return true;
}

static void transmit(struct virtio_net *vn, unsigned queue)
{
    unsigned count = 0;
    while (count < VIRTQ_MAX_SIZE && transmit_one(vn, queue))
        count++;
    net_flush(vn->net);
    if (count == VIRTQ_MAX_SIZE)
        virtio_kick(&vn->device, queue);
    if (count)
        virtio_interrupt(&vn->device, queue);
}

static void on_writable(void *client)
{
    struct virtio_net *vn = client;
    for (unsigned pair = 0; pair < max_pairs(vn); pair++)
        transmit(vn, 2 * pair + 1);
}

static const struct net_client_ops client_ops = {.receive = on_receive, .writable = on_writable};

/* ---- Control ---- */

enum { CONTROL_RX = 0, CONTROL_MAC = 1, CONTROL_MQ = 4 };
enum { RX_PROMISCUOUS = 0, RX_NO_BROADCAST = 5 }; /* first and last */
enum { MAC_TABLE_SET = 0, MAC_ADDRESS_SET = 1, MQ_PAIRS_SET = 0 };
enum { CONTROL_OK = 0, CONTROL_ERROR = 1 };

static bool set_mac(struct virtio_net *vn, const struct virtq_chain *c)
{
    uint8_t mac[VIRTIO_NET_MAC];
    if (virtq_read(c, 2, mac, sizeof(mac)) != sizeof(mac))
        return false;
    memcpy(vn->mac, mac, sizeof(mac));
    memcpy(vn->space.mac, mac, sizeof(mac));
    return true;
}

static bool set_pairs(struct virtio_net *vn, const struct virtq_chain *c)
{
    uint16_t pairs;
    if (!virtio_has(&vn->device, F_MQ) || virtq_read(c, 2, &pairs, sizeof(pairs)) != sizeof(pairs) ||
        !pairs || pairs > max_pairs(vn))
        return false;
    vn->pairs = pairs;
    return true;
}

/* The guest gets each frame that there is, so filters need not be kept: they only ever ask for less. */
static bool control(struct virtio_net *vn, const struct virtq_chain *c, uint8_t class, uint8_t command)
{
    switch (class) {
    case CONTROL_RX: return command <= RX_NO_BROADCAST;
    case CONTROL_MAC: return command == MAC_ADDRESS_SET ? set_mac(vn, c) : command == MAC_TABLE_SET;
    case CONTROL_MQ: return command == MQ_PAIRS_SET && set_pairs(vn, c);
    default: return false;
    }
}

static bool control_one(struct virtio_net *vn, unsigned queue)
{
    uint8_t command[2], answer;
    if (!virtio_pop(&vn->device, queue, &vn->chain))
        return false;
    if (virtq_read(&vn->chain, 0, command, sizeof(command)) != sizeof(command) || !vn->chain.writable) {
        virtio_break(&vn->device);
        return false;
    }
    answer = control(vn, &vn->chain, command[0], command[1]) ? CONTROL_OK : CONTROL_ERROR;
    virtq_write(&vn->chain, 0, &answer, sizeof(answer));
    virtio_push(&vn->device, queue, &vn->chain, sizeof(answer));
    return true;
}

static void serve_control(struct virtio_net *vn, unsigned queue)
{
    unsigned count = 0;
    while (count < VIRTQ_MAX_SIZE && control_one(vn, queue))
        count++;
    if (count == VIRTQ_MAX_SIZE)
        virtio_kick(&vn->device, queue);
    if (count)
        virtio_interrupt(&vn->device, queue);
}

/* ---- Device ---- */

/* It lies behind the pairs that the driver knows of. */
static unsigned control_queue(const struct virtio_net *vn)
{
    return virtio_has(&vn->device, F_MQ) ? 2 * max_pairs(vn) : 2;
}

static void kick(struct virtio_device *device, unsigned queue)
{
    struct virtio_net *vn = (struct virtio_net *)device;
    if (virtio_has(device, F_CTRL_VQ) && queue == control_queue(vn))
        serve_control(vn, queue);
    else if (queue % 2)
        transmit(vn, queue);
    else
        net_resume(vn->net);
}

static void reset(struct virtio_device *device)
{
    struct virtio_net *vn = (struct virtio_net *)device;
    vn->pairs = 1;
    memcpy(vn->mac, vn->first_mac, sizeof(vn->mac));
    memcpy(vn->space.mac, vn->first_mac, sizeof(vn->mac));
}

static const struct virtio_ops ops = {.kick = kick, .reset = reset};

void virtio_net_init(struct virtio_net *vn, struct net *net, const uint8_t mac[VIRTIO_NET_MAC],
                     unsigned pairs, const struct gmem *mem, struct task_runner runner)
{
    assert(pairs && pairs <= VIRTIO_NET_MAX_PAIRS);
    *vn = (struct virtio_net){.net = net, .space = {.status = STATUS_LINK_UP, .max_pairs = (uint16_t)pairs}};
    memcpy(vn->first_mac, mac, sizeof(vn->first_mac));
    struct virtio_config config = {
        .id = VIRTIO_ID_NET,
        .ops = &ops,
        .features = F_CSUM | F_GUEST_CSUM | F_MAC | F_MRG_RXBUF | F_STATUS | F_CTRL_VQ | F_CTRL_RX |
                    F_CTRL_MAC_ADDR | (pairs > 1 ? F_MQ : 0),
        .space = &vn->space,
        .space_length = sizeof(vn->space),
        .queues = vn->queues,
        .queue_count = 2 * pairs + 1,
    };
    virtio_init(&vn->device, &config, mem, runner);
    net_attach(net, &client_ops, vn, &vn->device.lock);
}

void virtio_net_release(struct virtio_net *vn)
{
    net_attach(vn->net, NULL, NULL, NULL);
    virtio_release(&vn->device);
}

/* ---- State ---- */

static const struct state_field fields[] = {
    F_STRUCT(struct virtio_net, device, struct virtio_device, virtio_device_state),
    F_TRANSIENT(struct virtio_net, net),
    F_TRANSIENT(struct virtio_net, space),
    F_TRANSIENT(struct virtio_net, first_mac),
    F_U8(struct virtio_net, mac),
    F_U16(struct virtio_net, pairs, .max = VIRTIO_NET_MAX_PAIRS),
    F_STRUCT(struct virtio_net, queues, struct virtq, virtq_state),
    F_TRANSIENT(struct virtio_net, first),
    F_TRANSIENT(struct virtio_net, chain),
    F_TRANSIENT(struct virtio_net, frame),
};

static bool check(const void *object)
{
    return ((const struct virtio_net *)object)->pairs;
}

/* A device with fewer pairs than the saved one cannot go on: MQ was negotiated for more. */
static void loaded(void *object)
{
    struct virtio_net *vn = object;
    memcpy(vn->space.mac, vn->mac, sizeof(vn->mac));
    if (vn->pairs > max_pairs(vn)) {
        vn->device.status |= VIRTIO_NEEDS_RESET;
        vn->pairs = 1;
    }
    virtio_loaded(&vn->device);
}

const struct state_table virtio_net_state = {.name = "virtio-net",
                                             .version = 1,
                                             .size = sizeof(struct virtio_net),
                                             STATE_FIELDS(fields),
                                             .check = check,
                                             .loaded = loaded};
