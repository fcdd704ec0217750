/* State tables: a device describes its fields once, and saving, loading, printing and random-state tests come from
 * that.
 *
 *   static const struct state_field fields[] = {
 *       F_U8(struct uart, divisor),                  a number, or an array of them
 *       F_U32(struct uart, head, .max = 15),         loading refuses more
 *       F_BOOL(struct uart, stopped, .since = 2),    not in records of version 1: keeps its value when one is loaded
 *       F_STRUCT(struct uart, fifo, fifo_state),     a struct, or an array of them, with a table of its own
 *       F_TRANSIENT(struct uart, irq),               wiring and what can be derived: not saved
 *   };
 *   const struct state_table uart_state = {
 *       .name = "uart", .version = 2, .size = sizeof(struct uart), STATE_FIELDS(fields)};
 *
 * A record carries names, so that fields may change their places, and versions. Little-endian:
 *   record:  u8 length, name; u16 version; u16 count; that many fields
 *   field:   u8 length, name; u8 kind; u32 count; count numbers of the kind's size, or count records
 *
 * Loading never trusts: an object is changed only when all of a record is right.
 * Threads: none of its own; the object's lock is held by who calls. */
#ifndef BUS_STATE_H
#define BUS_STATE_H

#include "base/buf.h"
#include "base/util.h"

#include <guise.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum state_kind {
    STATE_U8 = 1,
    STATE_U16 = 2,
    STATE_BOOL = 3,
    STATE_U32 = 4,
    STATE_STRUCT = 5,
    STATE_TRANSIENT = 6,
    STATE_U64 = 8,
};

struct state_table;

struct state_field {
    const char *name; /* shorter than 256 bytes */
    enum state_kind kind;
    uint32_t offset, size, count;    /* size: bytes of one element */
    uint64_t max;                    /* the greatest valid number; 0: any */
    uint16_t since;                  /* the version that has the field first; 0: all */
    const struct state_table *table; /* STATE_STRUCT */
};

struct state_table {
    const char *name; /* shorter than 256 bytes */
    uint16_t version; /* of what is saved; all older ones can be loaded */
    uint16_t count;
    uint32_t size; /* bytes of the struct */
    const struct state_field *fields;

    /* What .max cannot say: is this state, as loaded, one that the object can be in? The object is a copy, of which
     * only the described fields may be looked at. NULL: any. */
    bool (*check)(const void *object);

    /* Derives what is transient from what was loaded: timers, lines. Not called for structs within. NULL: nothing to
     * do. */
    void (*loaded)(void *object);
};

#define STATE_MAX_FIELDS          256

#define STATE_FIELDS(array)       .fields = (array), .count = ARRAY_SIZE(array)

#define F_U8(type, member, ...)   STATE_ELEMENTS(type, member, uint8_t, STATE_U8, __VA_ARGS__)
#define F_U16(type, member, ...)  STATE_ELEMENTS(type, member, uint16_t, STATE_U16, __VA_ARGS__)
#define F_U32(type, member, ...)  STATE_ELEMENTS(type, member, uint32_t, STATE_U32, __VA_ARGS__)
#define F_U64(type, member, ...)  STATE_ELEMENTS(type, member, uint64_t, STATE_U64, __VA_ARGS__)
#define F_BOOL(type, member, ...) STATE_ELEMENTS(type, member, bool, STATE_BOOL, .max = 1, __VA_ARGS__)
#define F_STRUCT(type, member, element, of, ...) \
    STATE_ELEMENTS(type, member, element, STATE_STRUCT, .table = &(of), __VA_ARGS__)
#define F_TRANSIENT(type, member)                                                   \
    {                                                                               \
        .name = #member, .kind = STATE_TRANSIENT, .offset = offsetof(type, member), \
        .size = sizeof(((type *)0)->member), .count = 1                             \
    }

/* A member that is neither an element nor an array of elements does not compile. */
#define STATE_ELEMENTS(type, member, element, what, ...)                                            \
    {                                                                                               \
        .name = #member, .kind = (what), .offset = offsetof(type, member), .size = sizeof(element), \
        .count = sizeof(((type *)0)->member) / sizeof(element) +                                    \
                 STATE_SAME(__typeof__(((type *)0)->member), element),                              \
        __VA_ARGS__                                                                                 \
    }
#define STATE_SAME(a, b)                                                           \
    (sizeof(char[__builtin_types_compatible_p(a, b) ||                             \
                         __builtin_types_compatible_p(a, b[sizeof(a) / sizeof(b)]) \
                     ? 1                                                           \
                     : -1]) -                                                      \
     1)

/* Adds the object's record; out->failed tells of short memory. */
void state_save(const struct state_table *table, const void *object, struct buf *out);

/* Loads the record at the start of `data`; *used (may be NULL) gets its length. GUISE_E_CONFIG, and the object as it
 * was, when anything about it is wrong. */
int state_load(const struct state_table *table, void *object, const void *data, size_t size, size_t *used,
               struct guise_error *err);

/* Adds lines of "name = value" for people; `prefix` comes before each name. */
void state_print(const struct state_table *table, const void *object, const char *prefix, struct buf *out);

/* ---- For tests ---- */

/* Fills the described fields with valid random numbers: within .max, whether or not .check accepts them together. */
void state_randomize(const struct state_table *table, void *object, uint64_t *seed);

/* The offset of the first byte that is not described exactly once, or the struct's size when each is. Bytes that are 0
 * in `significant` are padding. Structs within are proved by a call of their own. */
size_t state_first_gap(const struct state_table *table, const uint8_t *significant);

#endif
