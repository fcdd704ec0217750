#include "devices/aplic.h"

#include <assert.h>

/* The registers of a domain, 32 bits each. */
enum {
    DOMAINCFG = 0x0000,
    SOURCECFG = 0x0000, /* of source 0, which is none */
    SOURCECFG_END = 0x1000,
    MMSIADDRCFGH = 0x1bc4,
    SETIP = 0x1c00,
    SETIPNUM = 0x1cdc,
    IN_CLRIP = 0x1d00,
    CLRIPNUM = 0x1ddc,
    SETIE = 0x1e00,
    SETIENUM = 0x1edc,
    CLRIE = 0x1f00,
    CLRIENUM = 0x1fdc,
    SETIPNUM_LE = 0x2000,
    GENMSI = 0x3000,
    TARGET = 0x3000, /* of source 0 */
    TARGET_END = 0x4000,
    IDC = 0x4000,
    ARRAY_LENGTH = 0x80, /* of setip, in_clrip, setie, clrie */
};

/* "Interrupt delivery control": 32 bytes a hart. */
enum { IDC_ROW = 32, IDELIVERY = 0x00, IFORCE = 0x04, ITHRESHOLD = 0x08, TOPI = 0x18, CLAIMI = 0x1c };

enum { DOMAINCFG_DM = 1 << 2, DOMAINCFG_IE = 1 << 8 };
#define DOMAINCFG_FIXED UINT32_C(0x80000000)

/* The addresses of messages are fixed, and that is all that mmsiaddrcfgh says: locked. */
#define MMSIADDRCFGH_L UINT32_C(0x80000000)

enum { DELEGATED = 1 << 10 };
enum { INACTIVE, DETACHED, EDGE_RISING = 4, EDGE_FALLING, LEVEL_HIGH, LEVEL_LOW };

enum { TARGET_HART_SHIFT = 18, TARGET_IDENTITY = 0x7ff, TARGET_PRIORITY = 0xff, MESSAGE_PAGE = 4096 };

static bool bit_get(const uint32_t *words, unsigned i)
{
    return words[i / 32] >> i % 32 & 1;
}

static void bit_put(uint32_t *words, unsigned i, bool value)
{
    uint32_t bit = (uint32_t)1 << i % 32;
    words[i / 32] = value ? words[i / 32] | bit : words[i / 32] & ~bit;
}

/* ---- Sources ---- */

static struct aplic_domain *root_of(struct aplic_domain *d)
{
    return &d->aplic->domains[APLIC_MACHINE];
}

static bool is_root(const struct aplic_domain *d)
{
    return d == &d->aplic->domains[APLIC_MACHINE];
}

static bool is_active(const struct aplic_domain *d, unsigned source)
{
    return source < APLIC_SOURCES && d->mode[source] != INACTIVE && d->mode[source] != DELEGATED;
}

/* Does the source appear in this domain? */
static bool is_there(struct aplic_domain *d, unsigned source)
{
    return source > 0 && source < APLIC_SOURCES && (is_root(d) || root_of(d)->mode[source] == DELEGATED);
}

static bool is_level(const struct aplic_domain *d, unsigned source)
{
    return d->mode[source] == LEVEL_HIGH || d->mode[source] == LEVEL_LOW;
}

static bool is_edge(const struct aplic_domain *d, unsigned source)
{
    return d->mode[source] == EDGE_RISING || d->mode[source] == EDGE_FALLING;
}

/* "Rectified input value" */
static bool input(const struct aplic_domain *d, unsigned source)
{
    bool level = bit_get(d->aplic->level, source);
    switch (d->mode[source]) {
    case EDGE_RISING:
    case LEVEL_HIGH: return level;
    case EDGE_FALLING:
    case LEVEL_LOW: return !level;
    default: return false;
    }
}

static unsigned target_hart(const struct aplic_domain *d, unsigned source)
{
    return d->target[source] >> TARGET_HART_SHIFT;
}

/* ---- Direct delivery ---- */

/* topi: the source of the least priority number, the lowest of several. */
static uint32_t top(const struct aplic_domain *d, unsigned hart)
{
    uint32_t best = 0, limit = d->idc[hart].threshold ? d->idc[hart].threshold : TARGET_PRIORITY + 1;
    for (unsigned word = 0; word < APLIC_WORDS; word++)
        for (uint32_t bits = d->pending[word] & d->enabled[word]; bits; bits &= bits - 1) {
            unsigned source = 32 * word + (unsigned)__builtin_ctz(bits);
            uint32_t priority = d->target[source] & TARGET_PRIORITY;
            if (target_hart(d, source) != hart || priority >= limit)
                continue;
            best = source << 16 | priority;
            limit = priority;
        }
    return best;
}

static void update_line(struct aplic_domain *d, unsigned hart)
{
    struct aplic_idc *idc = &d->idc[hart];
    bool signal = d->enable && idc->delivery && (idc->force || top(d, hart));
    if (signal == idc->signalled)
        return;
    idc->signalled = signal;
    irq_set(&idc->line, signal);
}

/* ---- Delivery by messages ---- */

static void send(const struct aplic_domain *d, uint32_t message)
{
    uint64_t hart = message >> TARGET_HART_SHIFT;
    msi_send(&d->msi, d->messages + hart * MESSAGE_PAGE, message & TARGET_IDENTITY);
}

static void forward(struct aplic_domain *d)
{
    for (unsigned word = 0; word < APLIC_WORDS && d->enable; word++)
        for (uint32_t bits = d->pending[word] & d->enabled[word]; bits; bits &= bits - 1) {
            unsigned source = 32 * word + (unsigned)__builtin_ctz(bits);
            bit_put(d->pending, source, false);
            send(d, d->target[source]);
        }
}

/* What has become pending, enabled or of another priority shows. */
static void deliver(struct aplic_domain *d)
{
    if (d->aplic->sends)
        forward(d);
    else
        for (unsigned i = 0; i < d->aplic->harts; i++)
            update_line(d, i);
}

/* ---- Pending bits: "Precise effects on interrupt-pending bits" ---- */

static bool is_copy_of_input(const struct aplic_domain *d, unsigned source)
{
    return is_level(d, source) && !d->aplic->sends;
}

static void set_pending(struct aplic_domain *d, unsigned source)
{
    if (is_active(d, source) && (!is_level(d, source) || input(d, source)))
        bit_put(d->pending, source, true);
}

static void clear_pending(struct aplic_domain *d, unsigned source)
{
    if (source < APLIC_SOURCES && !is_copy_of_input(d, source))
        bit_put(d->pending, source, false);
}

/* The input has changed. */
static void follow_input(struct aplic_domain *d, unsigned source)
{
    bool on = input(d, source);
    if (is_level(d, source))
        bit_put(d->pending, source, on);
    else if (is_edge(d, source) && on)
        bit_put(d->pending, source, true);
}

static void set_level(void *controller, unsigned source, bool level)
{
    struct aplic *a = controller;
    pthread_mutex_lock(&a->lock);
    if (bit_get(a->level, source) != level) {
        bit_put(a->level, source, level);
        struct aplic_domain *d =
            &a->domains[a->domains[APLIC_MACHINE].mode[source] == DELEGATED ? APLIC_SUPERVISOR
                                                                            : APLIC_MACHINE];
        follow_input(d, source);
        deliver(d);
    }
    pthread_mutex_unlock(&a->lock);
}

/* ---- Configuration of sources ---- */

static void deactivate(struct aplic_domain *d, unsigned source)
{
    d->target[source] = 0;
    bit_put(d->pending, source, false);
    bit_put(d->enabled, source, false);
}

/* What the domain keeps of a written sourcecfg. */
static uint32_t legal_mode(const struct aplic_domain *d, uint32_t value)
{
    if (value & DELEGATED)
        return is_root(d) ? DELEGATED : INACTIVE;
    value &= 7;
    return value == 2 || value == 3 ? INACTIVE : value;
}

/* A priority of 0 is none. */
static uint32_t legal_target(const struct aplic_domain *d, uint32_t value)
{
    uint32_t hart = value >> TARGET_HART_SHIFT;
    hart = (hart < d->aplic->harts ? hart : 0) << TARGET_HART_SHIFT;
    if (d->aplic->sends)
        return hart | (value & TARGET_IDENTITY);
    return hart | (value & TARGET_PRIORITY ? value & TARGET_PRIORITY : 1);
}

static void set_mode(struct aplic_domain *d, unsigned source, uint32_t mode)
{
    assert(source < APLIC_SOURCES);
    bool was_active = is_active(d, source);
    d->mode[source] = mode;
    if (!is_active(d, source))
        deactivate(d, source);
    else if (!was_active)
        d->target[source] = legal_target(d, 0);
    if (is_level(d, source))
        bit_put(d->pending, source, input(d, source));
}

/* A source that the root takes back is not there below. */
static void write_mode(struct aplic_domain *d, unsigned source, uint32_t value)
{
    if (!is_there(d, source))
        return;
    set_mode(d, source, legal_mode(d, value));
    if (is_root(d) && d->mode[source] != DELEGATED) {
        set_mode(&d->aplic->domains[APLIC_SUPERVISOR], source, INACTIVE);
        deliver(&d->aplic->domains[APLIC_SUPERVISOR]);
    }
}

/* ---- Registers of sources ---- */

static uint32_t inputs(const struct aplic_domain *d, unsigned word)
{
    uint32_t bits = 0;
    for (unsigned i = 0; i < 32; i++)
        bits |= (uint32_t)input(d, 32 * word + i) << i;
    return bits;
}

static void set_enabled(struct aplic_domain *d, unsigned source)
{
    if (is_active(d, source))
        bit_put(d->enabled, source, true);
}

static void clear_enabled(struct aplic_domain *d, unsigned source)
{
    if (source < APLIC_SOURCES)
        bit_put(d->enabled, source, false);
}

typedef void change(struct aplic_domain *domain, unsigned source);

/* What a written array (by its address) or number does to each source. */
static change *change_of(unsigned address)
{
    static change *const changes[] = {set_pending, clear_pending, set_enabled, clear_enabled};
    return changes[(address - SETIP) / (IN_CLRIP - SETIP)];
}

static void write_word(struct aplic_domain *d, unsigned address, uint32_t value)
{
    for (uint32_t bits = value; bits; bits &= bits - 1)
        change_of(address)(d, address % ARRAY_LENGTH / 4 * 32 + (unsigned)__builtin_ctz(bits));
}

static uint32_t read_word(const struct aplic_domain *d, unsigned address)
{
    unsigned word = address % ARRAY_LENGTH / 4;
    if (word >= APLIC_WORDS)
        return 0;
    switch (address - 4 * word) {
    case SETIP: return d->pending[word];
    case IN_CLRIP: return inputs(d, word);
    case SETIE: return d->enabled[word];
    default: return 0;
    }
}

/* ---- Registers ---- */

static bool is_array(unsigned address)
{
    return address >= SETIP && address < SETIPNUM_LE && address % (IN_CLRIP - SETIP) < ARRAY_LENGTH;
}

static uint32_t read_source(const uint32_t *registers, unsigned source)
{
    return source < APLIC_SOURCES ? registers[source] : 0;
}

static uint32_t read_register(const struct aplic_domain *d, unsigned address)
{
    const bool sends = d->aplic->sends;
    if (address == DOMAINCFG)
        return DOMAINCFG_FIXED | (d->enable ? DOMAINCFG_IE : 0) | (sends ? DOMAINCFG_DM : 0);
    if (address == GENMSI)
        return d->message;
    if (address < SOURCECFG_END)
        return read_source(d->mode, (address - SOURCECFG) / 4);
    if (address > TARGET && address < TARGET_END)
        return read_source(d->target, (address - TARGET) / 4);
    if (address == MMSIADDRCFGH)
        return is_root(d) && sends ? MMSIADDRCFGH_L : 0;
    return is_array(address) ? read_word(d, address) : 0;
}

static void write_message(struct aplic_domain *d, uint32_t value)
{
    if (!d->aplic->sends)
        return;
    d->message = legal_target(d, value);
    send(d, d->message);
}

static void write_target(struct aplic_domain *d, unsigned source, uint32_t value)
{
    if (is_active(d, source))
        d->target[source] = legal_target(d, value);
}

static void write_register(struct aplic_domain *d, unsigned address, uint32_t value)
{
    if (address == DOMAINCFG)
        d->enable = value & DOMAINCFG_IE;
    else if (address == GENMSI)
        write_message(d, value);
    else if (address < SOURCECFG_END)
        write_mode(d, (address - SOURCECFG) / 4, value);
    else if (address > TARGET && address < TARGET_END)
        write_target(d, (address - TARGET) / 4, value);
    else if (is_array(address))
        write_word(d, address, value);
    else if (address == SETIPNUM || address == SETIPNUM_LE)
        set_pending(d, value);
    else if (address == CLRIPNUM)
        clear_pending(d, value);
    else if (address == SETIENUM)
        set_enabled(d, value);
    else if (address == CLRIENUM)
        clear_enabled(d, value);
    deliver(d);
}

/* ---- Registers of harts ---- */

static uint32_t claim(struct aplic_domain *d, unsigned hart)
{
    uint32_t claimed = top(d, hart);
    if (claimed)
        clear_pending(d, claimed >> 16);
    else
        d->idc[hart].force = false;
    update_line(d, hart);
    return claimed;
}

static uint32_t read_idc(struct aplic_domain *d, unsigned hart, unsigned offset)
{
    const struct aplic_idc *idc = &d->idc[hart];
    switch (offset) {
    case IDELIVERY: return idc->delivery;
    case IFORCE: return idc->force;
    case ITHRESHOLD: return idc->threshold;
    case TOPI: return top(d, hart);
    case CLAIMI: return claim(d, hart);
    default: return 0;
    }
}

static void write_idc(struct aplic_domain *d, unsigned hart, unsigned offset, uint32_t value)
{
    struct aplic_idc *idc = &d->idc[hart];
    switch (offset) {
    case IDELIVERY: idc->delivery = value & 1; break;
    case IFORCE: idc->force = value & 1; break;
    case ITHRESHOLD: idc->threshold = (uint8_t)value; break;
    default: break;
    }
    update_line(d, hart);
}

static void access_idc(struct aplic_domain *d, struct bus_access *a)
{
    unsigned hart = (unsigned)(a->address - IDC) / IDC_ROW, offset = (unsigned)a->address % IDC_ROW;
    if (hart >= d->aplic->harts)
        a->value = 0;
    else if (a->is_write)
        write_idc(d, hart, offset, (uint32_t)a->value);
    else
        a->value = read_idc(d, hart, offset);
}

static enum bus_result access(void *device, struct bus_access *a)
{
    struct aplic_domain *d = device;
    unsigned address = (unsigned)a->address;
    if (address >= IDC)
        access_idc(d, a);
    else if (a->is_write)
        write_register(d, address, (uint32_t)a->value);
    else
        a->value = read_register(d, address);
    return BUS_OK;
}

static const struct bus_ops ops = {.access = access, .sizes = 4};

/* ---- Life ---- */

static void domain_init(struct aplic *a, enum aplic_level level, const struct aplic_outputs *to)
{
    struct aplic_domain *d = &a->domains[level];
    d->aplic = a;
    d->msi = to->msi;
    d->messages = to->base;
    for (unsigned i = 0; i < a->harts; i++)
        d->idc[i].line = to->lines[i];
    d->region = (struct bus_region){.name = level == APLIC_MACHINE ? "aplic-m" : "aplic-s",
                                    .length = APLIC_LENGTH(a->sends ? 0 : a->harts),
                                    .ops = &ops,
                                    .device = d,
                                    .lock = &a->lock};
}

void aplic_init(struct aplic *a, unsigned harts, bool sends,
                const struct aplic_outputs outputs[APLIC_DOMAINS])
{
    assert(harts <= APLIC_MAX_HARTS);
    *a = (struct aplic){.harts = harts, .sends = sends};
    pthread_mutex_init(&a->lock, NULL);
    for (unsigned i = 0; i < APLIC_DOMAINS; i++)
        domain_init(a, (enum aplic_level)i, &outputs[i]);
}

void aplic_release(struct aplic *a)
{
    pthread_mutex_destroy(&a->lock);
}

void aplic_delegate(struct aplic *a)
{
    pthread_mutex_lock(&a->lock);
    for (unsigned i = 1; i < APLIC_SOURCES; i++)
        write_mode(&a->domains[APLIC_MACHINE], i, DELEGATED);
    pthread_mutex_unlock(&a->lock);
}

struct irq_line aplic_line(struct aplic *a, unsigned source)
{
    assert(source > 0 && source < APLIC_SOURCES);
    return (struct irq_line){.set = set_level, .controller = a, .number = source};
}

/* ---- State ---- */

static const struct state_field idc_fields[] = {
    F_TRANSIENT(struct aplic_idc, line), F_TRANSIENT(struct aplic_idc, signalled),
    F_BOOL(struct aplic_idc, delivery),  F_BOOL(struct aplic_idc, force),
    F_U8(struct aplic_idc, threshold),
};

const struct state_table aplic_idc_state = {
    .name = "aplic-idc", .version = 1, .size = sizeof(struct aplic_idc), STATE_FIELDS(idc_fields)};

static const struct state_field domain_fields[] = {
    F_TRANSIENT(struct aplic_domain, region),
    F_TRANSIENT(struct aplic_domain, aplic),
    F_TRANSIENT(struct aplic_domain, msi),
    F_TRANSIENT(struct aplic_domain, messages),
    F_BOOL(struct aplic_domain, enable),
    F_U32(struct aplic_domain, message),
    F_U32(struct aplic_domain, mode, .max = DELEGATED),
    F_U32(struct aplic_domain, target),
    F_U32(struct aplic_domain, pending),
    F_U32(struct aplic_domain, enabled),
    F_STRUCT(struct aplic_domain, idc, struct aplic_idc, aplic_idc_state),
};

static bool mode_is_legal(uint32_t mode)
{
    return mode <= DETACHED || (mode >= EDGE_RISING && mode <= LEVEL_LOW) || mode == DELEGATED;
}

/* Sources that are not active have nothing. */
static bool domain_check(const void *object)
{
    const struct aplic_domain *d = object;
    bool ok = d->mode[0] == INACTIVE;
    for (unsigned i = 0; i < APLIC_SOURCES; i++) {
        bool nothing = !d->target[i] && !bit_get(d->pending, i) && !bit_get(d->enabled, i);
        ok &= mode_is_legal(d->mode[i]) && (is_active(d, i) || nothing);
    }
    return ok;
}

const struct state_table aplic_domain_state = {.name = "aplic-domain",
                                               .version = 1,
                                               .size = sizeof(struct aplic_domain),
                                               STATE_FIELDS(domain_fields),
                                               .check = domain_check};

static const struct state_field fields[] = {
    F_TRANSIENT(struct aplic, lock),
    F_TRANSIENT(struct aplic, harts),
    F_TRANSIENT(struct aplic, sends),
    F_U32(struct aplic, level),
    F_STRUCT(struct aplic, domains, struct aplic_domain, aplic_domain_state),
};

/* Only what the root delegates is there below, and from there it goes no further. */
static bool check(const void *object)
{
    const struct aplic *a = object;
    const uint32_t *above = a->domains[APLIC_MACHINE].mode, *below = a->domains[APLIC_SUPERVISOR].mode;
    bool ok = !bit_get(a->level, 0);
    for (unsigned i = 1; i < APLIC_SOURCES; i++)
        ok &= below[i] != DELEGATED && (below[i] == INACTIVE || above[i] == DELEGATED);
    return ok;
}

/* What depends on how this controller delivers. */
static void settle(struct aplic_domain *d)
{
    for (unsigned i = 1; i < APLIC_SOURCES; i++) {
        if (is_active(d, i))
            d->target[i] = legal_target(d, d->target[i]);
        if (is_level(d, i) && (is_copy_of_input(d, i) || !input(d, i)))
            bit_put(d->pending, i, input(d, i));
    }
    d->message = d->aplic->sends ? legal_target(d, d->message) : 0;
    deliver(d);
}

static void loaded(void *object)
{
    struct aplic *a = object;
    for (unsigned i = 0; i < APLIC_DOMAINS; i++)
        settle(&a->domains[i]);
}

const struct state_table aplic_state = {.name = "aplic",
                                        .version = 1,
                                        .size = sizeof(struct aplic),
                                        STATE_FIELDS(fields),
                                        .check = check,
                                        .loaded = loaded};
