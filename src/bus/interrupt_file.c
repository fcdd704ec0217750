#include "bus/interrupt_file.h"

/* ---- With the lock held ---- */

/* A threshold of 0 subtracts to one that nothing reaches. */
static bool is_before_threshold(const struct interrupt_file *f, unsigned identity)
{
    return identity - 1 < f->threshold - 1;
}

static unsigned top(const struct interrupt_file *f)
{
    for (unsigned i = 0; i < INTERRUPT_FILE_WORDS; i++) {
        uint64_t ready = f->pending[i] & f->enabled[i];
        if (!ready)
            continue;
        unsigned identity = 64 * i + (unsigned)__builtin_ctzll(ready);
        return is_before_threshold(f, identity) ? identity : 0;
    }
    return 0;
}

static void update_line(struct interrupt_file *f)
{
    bool signal = f->delivery && top(f);
    if (signal == f->signalled)
        return;
    f->signalled = signal;
    irq_set(&f->line, signal);
}

/* The word that a register is, or NULL. */
static uint64_t *word_of(struct interrupt_file *f, unsigned number)
{
    uint64_t *words = number < INTERRUPT_FILE_ENABLED ? f->pending : f->enabled;
    unsigned index =
        (number - INTERRUPT_FILE_PENDING) % (INTERRUPT_FILE_ENABLED - INTERRUPT_FILE_PENDING) / 2;
    bool is_there =
        number >= INTERRUPT_FILE_PENDING && number < INTERRUPT_FILE_END && index < INTERRUPT_FILE_WORDS;
    return is_there ? &words[index] : NULL;
}

static uint64_t read_register(struct interrupt_file *f, unsigned number)
{
    const uint64_t *word = word_of(f, number);
    switch (number) {
    case INTERRUPT_FILE_DELIVERY: return f->delivery;
    case INTERRUPT_FILE_THRESHOLD: return f->threshold;
    default: return word ? *word : 0;
    }
}

static void write_register(struct interrupt_file *f, unsigned number, uint64_t value)
{
    uint64_t *word = word_of(f, number);
    bool has_none = word == &f->pending[0] || word == &f->enabled[0];
    if (number == INTERRUPT_FILE_DELIVERY)
        f->delivery = value & 1;
    else if (number == INTERRUPT_FILE_THRESHOLD)
        f->threshold = value & INTERRUPT_FILE_MAX_THRESHOLD;
    else if (word)
        *word = has_none ? value & ~(uint64_t)1 : value;
}

/* ---- For others ---- */

void interrupt_file_send(struct interrupt_file *f, uint32_t identity)
{
    if (identity == 0 || identity >= INTERRUPT_FILE_IDENTITIES)
        return;
    pthread_mutex_lock(&f->lock);
    f->pending[identity / 64] |= (uint64_t)1 << identity % 64;
    update_line(f);
    pthread_mutex_unlock(&f->lock);
}

unsigned interrupt_file_top(struct interrupt_file *f)
{
    pthread_mutex_lock(&f->lock);
    unsigned identity = top(f);
    pthread_mutex_unlock(&f->lock);
    return identity;
}

uint64_t interrupt_file_read(struct interrupt_file *f, unsigned number)
{
    pthread_mutex_lock(&f->lock);
    uint64_t value = read_register(f, number);
    pthread_mutex_unlock(&f->lock);
    return value;
}

void interrupt_file_write(struct interrupt_file *f, unsigned number, uint64_t value, uint64_t touched)
{
    pthread_mutex_lock(&f->lock);
    write_register(f, number, (read_register(f, number) & ~touched) | (value & touched));
    update_line(f);
    pthread_mutex_unlock(&f->lock);
}

void interrupt_file_clear(struct interrupt_file *f, unsigned identity)
{
    interrupt_file_write(f, INTERRUPT_FILE_PENDING + identity / 64 * 2, 0, (uint64_t)1 << identity % 64);
}

/* ---- Life ---- */

void interrupt_file_init(struct interrupt_file *f, struct irq_line line)
{
    *f = (struct interrupt_file){.line = line};
    pthread_mutex_init(&f->lock, NULL);
}

void interrupt_file_release(struct interrupt_file *f)
{
    pthread_mutex_destroy(&f->lock);
}

/* ---- State ---- */

static const struct state_field fields[] = {
    F_TRANSIENT(struct interrupt_file, lock),
    F_TRANSIENT(struct interrupt_file, line),
    F_TRANSIENT(struct interrupt_file, signalled),
    F_BOOL(struct interrupt_file, delivery),
    F_U32(struct interrupt_file, threshold, .max = INTERRUPT_FILE_MAX_THRESHOLD),
    F_U64(struct interrupt_file, pending),
    F_U64(struct interrupt_file, enabled),
};

static bool check(const void *object)
{
    const struct interrupt_file *f = object;
    return !((f->pending[0] | f->enabled[0]) & 1);
}

const struct state_table interrupt_file_state = {.name = "interrupt-file",
                                                 .version = 1,
                                                 .size = sizeof(struct interrupt_file),
                                                 STATE_FIELDS(fields),
                                                 .check = check};

void interrupt_file_loaded(struct interrupt_file *f)
{
    update_line(f);
}
