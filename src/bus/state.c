#include "bus/state.h"

#include "base/error.h"

#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* ---- Numbers ---- */

static uint64_t number_get(const void *at, uint32_t size)
{
    uint64_t value = 0;
    memcpy(&value, at, size);
    return value;
}

static void number_put(void *at, uint32_t size, uint64_t value)
{
    memcpy(at, &value, size);
}

static bool number_valid(const struct state_field *f, uint64_t value)
{
    return !f->max || value <= f->max;
}

static const void *element_at(const struct state_field *f, const void *object, uint32_t i)
{
    return (const uint8_t *)object + f->offset + (size_t)i * f->size;
}

static void *element_of(const struct state_field *f, void *object, uint32_t i)
{
    return (uint8_t *)object + f->offset + (size_t)i * f->size;
}

/* ---- Saving ---- */

static void add_number(struct buf *out, uint32_t size, uint64_t value)
{
    buf_add(out, &value, size);
}

static void add_name(struct buf *out, const char *name)
{
    size_t length = strlen(name);
    assert(length < 256);
    add_number(out, 1, length);
    buf_add(out, name, length);
}

static void save_field(const struct state_field *f, const void *object, struct buf *out)
{
    add_name(out, f->name);
    add_number(out, 1, f->kind);
    add_number(out, 4, f->count);
    for (uint32_t i = 0; i < f->count; i++)
        if (f->kind == STATE_STRUCT)
            state_save(f->table, element_at(f, object, i), out);
        else
            buf_add(out, element_at(f, object, i), f->size);
}

void state_save(const struct state_table *table, const void *object, struct buf *out)
{
    uint16_t saved = 0;
    for (uint16_t i = 0; i < table->count; i++)
        saved = (uint16_t)(saved + (table->fields[i].kind != STATE_TRANSIENT));
    add_name(out, table->name);
    add_number(out, 2, table->version);
    add_number(out, 2, saved);
    for (uint16_t i = 0; i < table->count; i++)
        if (table->fields[i].kind != STATE_TRANSIENT)
            save_field(&table->fields[i], object, out);
}

/* ---- Loading ---- */

struct reader {
    const uint8_t *at, *end;
    struct guise_error *err;
};

static int bad(struct reader *r, const struct state_table *table, const char *field, const char *what)
{
    return error_set(r->err, GUISE_E_CONFIG, "saved state of %s%s%s: %s", table->name, field ? "." : "",
                     field ? field : "", what);
}

static bool take(struct reader *r, void *to, size_t size)
{
    if ((size_t)(r->end - r->at) < size)
        return false;
    memcpy(to, r->at, size);
    r->at += size;
    return true;
}

static bool take_number(struct reader *r, uint32_t size, uint64_t *value)
{
    *value = 0;
    return take(r, value, size);
}

static bool take_name(struct reader *r, char name[256])
{
    uint64_t length;
    if (!take_number(r, 1, &length) || !take(r, name, length))
        return false;
    name[length] = 0;
    return true;
}

static int load_record(struct reader *r, const struct state_table *table, void *object);

static int load_element(struct reader *r, const struct state_table *table, const struct state_field *f,
                        void *to)
{
    uint64_t value;
    if (f->kind == STATE_STRUCT)
        return load_record(r, f->table, to);
    if (!take_number(r, f->size, &value))
        return bad(r, table, f->name, "cut short");
    if (!number_valid(f, value))
        return bad(r, table, f->name, "out of range");
    number_put(to, f->size, value);
    return 0;
}

/* The table's index of a field, or -1. */
static int find_field(const struct state_table *table, const char *name)
{
    for (int i = 0; i < table->count; i++)
        if (table->fields[i].kind != STATE_TRANSIENT && !strcmp(table->fields[i].name, name))
            return i;
    return -1;
}

static int load_field(struct reader *r, const struct state_table *table, void *object,
                      bool seen[STATE_MAX_FIELDS])
{
    char name[256];
    uint64_t kind, count;
    if (!take_name(r, name) || !take_number(r, 1, &kind) || !take_number(r, 4, &count))
        return bad(r, table, NULL, "cut short");
    int index = find_field(table, name);
    if (index < 0 || seen[index])
        return bad(r, table, name, index < 0 ? "not known" : "twice");
    const struct state_field *f = &table->fields[index];
    if (kind != f->kind || count != f->count)
        return bad(r, table, name, "of another type");
    seen[index] = true;
    for (uint32_t i = 0; i < f->count; i++) {
        int status = load_element(r, table, f, element_of(f, object, i));
        if (status)
            return status;
    }
    return 0;
}

static int check_loaded(struct reader *r, const struct state_table *table, const void *object,
                        uint64_t version, const bool seen[STATE_MAX_FIELDS])
{
    for (uint16_t i = 0; i < table->count; i++) {
        const struct state_field *f = &table->fields[i];
        if (f->kind != STATE_TRANSIENT && f->since <= version && !seen[i])
            return bad(r, table, f->name, "missing");
    }
    return table->check && !table->check(object) ? bad(r, table, NULL, "contradicts itself") : 0;
}

static int load_record(struct reader *r, const struct state_table *table, void *object)
{
    char name[256];
    bool seen[STATE_MAX_FIELDS] = {false};
    uint64_t version, count;
    assert(table->count <= STATE_MAX_FIELDS);
    if (!take_name(r, name) || !take_number(r, 2, &version) || !take_number(r, 2, &count))
        return bad(r, table, NULL, "cut short");
    if (strcmp(name, table->name))
        return bad(r, table, NULL, "that of another device");
    if (version > table->version)
        return bad(r, table, NULL, "from a newer Guise");
    for (uint64_t i = 0; i < count; i++) {
        int status = load_field(r, table, object, seen);
        if (status)
            return status;
    }
    return check_loaded(r, table, object, version, seen);
}

/* Copies what is described, and nothing else: a lock, for one, may be in use. */
static void copy_described(const struct state_table *table, void *to, const void *from)
{
    for (uint16_t i = 0; i < table->count; i++) {
        const struct state_field *f = &table->fields[i];
        if (f->kind == STATE_TRANSIENT)
            continue;
        if (f->kind != STATE_STRUCT)
            memcpy(element_of(f, to, 0), element_at(f, from, 0), (size_t)f->size * f->count);
        else
            for (uint32_t e = 0; e < f->count; e++)
                copy_described(f->table, element_of(f, to, e), element_at(f, from, e));
    }
}

int state_load(const struct state_table *table, void *object, const void *data, size_t size, size_t *used,
               struct guise_error *err)
{
    struct reader r = {.at = data, .end = (const uint8_t *)data + size, .err = err};
    void *copy = calloc(1, table->size);
    if (!copy)
        return error_set(err, GUISE_E_NOMEM, "loading the state of %s", table->name);
    copy_described(table, copy, object);
    int status = load_record(&r, table, copy);
    if (!status) {
        copy_described(table, object, copy);
        if (table->loaded)
            table->loaded(object);
        if (used)
            *used = (size_t)(r.at - (const uint8_t *)data);
    }
    free(copy);
    return status;
}

/* ---- Printing ---- */

static void print_field(const struct state_field *f, const void *object, const char *prefix, struct buf *out)
{
    for (uint32_t i = 0; i < f->count; i++) {
        char index[16] = "", name[512];
        if (f->count > 1)
            snprintf(index, sizeof(index), "[%" PRIu32 "]", i);
        snprintf(name, sizeof(name), "%s%s%s", prefix, f->name, index);
        if (f->kind != STATE_STRUCT) {
            buf_printf(out, "%s = 0x%" PRIx64 "\n", name, number_get(element_at(f, object, i), f->size));
            continue;
        }
        size_t length = strlen(name);
        snprintf(name + length, sizeof(name) - length, ".");
        state_print(f->table, element_at(f, object, i), name, out);
    }
}

void state_print(const struct state_table *table, const void *object, const char *prefix, struct buf *out)
{
    for (uint16_t i = 0; i < table->count; i++)
        if (table->fields[i].kind != STATE_TRANSIENT)
            print_field(&table->fields[i], object, prefix, out);
}

/* ---- For tests ---- */

/* splitmix64 */
static uint64_t random_next(uint64_t *state)
{
    *state += 0x9e3779b97f4a7c15;
    uint64_t z = *state;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
    z = (z ^ z >> 27) * 0x94d049bb133111eb;
    return z ^ z >> 31;
}

static uint64_t random_number(const struct state_field *f, uint64_t *seed)
{
    uint64_t value = random_next(seed) >> (64 - 8 * f->size);
    return f->max && f->max != UINT64_MAX ? value % (f->max + 1) : value;
}

void state_randomize(const struct state_table *table, void *object, uint64_t *seed)
{
    for (uint16_t i = 0; i < table->count; i++) {
        const struct state_field *f = &table->fields[i];
        for (uint32_t e = 0; e < f->count && f->kind != STATE_TRANSIENT; e++)
            if (f->kind == STATE_STRUCT)
                state_randomize(f->table, element_of(f, object, e), seed);
            else
                number_put(element_of(f, object, e), f->size, random_number(f, seed));
    }
}

size_t state_first_gap(const struct state_table *table, const uint8_t *significant)
{
    size_t gap = 0;
    uint8_t *described = calloc(1, table->size);
    if (!described)
        return 0;
    for (uint16_t i = 0; i < table->count; i++) {
        const struct state_field *f = &table->fields[i];
        for (size_t b = 0; b < (size_t)f->size * f->count; b++)
            described[f->offset + b]++;
    }
    while (gap < table->size && described[gap] <= 1 && (described[gap] || !significant[gap]))
        gap++;
    free(described);
    return gap;
}
