/* The inside of struct code: what its two files share. Private to code.c (units, their memory, their change) and
 * code_translate.c (their translations). With the code's lock held, but where it says something else. */
#ifndef CPU_RISCV_CODE_INTERNAL_H
#define CPU_RISCV_CODE_INTERNAL_H

#include "cpu/riscv/code.h"
#include "cpu/riscv/predecode.h"
#include "cpu/riscv/translate.h"
#include "cpu/riscv/unit_store.h"
#include "cpu/riscv/watch.h"

#include <pthread.h>

/* Memory that harts may still be using: freed when each has left the units it entered before `epoch`. */
struct limbo {
    struct limbo *next;
    uint64_t epoch;
    struct unit_chunk *chunks;
    struct unit_table *tables;
    int evicted; /* chunk of the translator's cache, or -1 */
};

#define CODE_PAGE_HASH_COUNT 1024u

/* A bit for each of the addresses of 8 MiB of code; what is farther apart shares them. */
#define CODE_ENTRY_WORDS (1u << 16)

struct code {
    pthread_mutex_t lock; /* everything below that is not atomic */
    const struct code_ops *ops;
    void *context;
    uint64_t mem_base, extensions;
    struct unit_table *_Atomic table;
    _Atomic uint64_t epoch;    /* starts at 1, grows at each flush */
    struct unit_chunk *chunks; /* the first is being filled */
    struct unit_table *old_tables;
    struct limbo *limbo;
    struct unit *pages[2][CODE_PAGE_HASH_COUNT]; /* fixed and changeable ones */
    struct watch watch;
    struct hart *harts;
    size_t bytes, max_bytes;
    uint64_t live;
    struct code_stats stats;
    struct engine_options engine;
    pthread_mutex_t
        *alone; /* lockstep: held while a unit runs twice; shared with children of fork(), owned */
    struct translator *translator; /* owned; NULL: interpreter alone */
    struct draft draft;
    uint64_t
        entries[CODE_ENTRY_WORDS]; /* where translations may begin; last: touched only where there are some */
};

/* ---- code.c ---- */

/* Frees what no hart can reach any more; a hart that still can is asked to come out. */
void code_reclaim(struct code *code);

/* hva of the code at `pc`. */
const void *code_host_address(const struct code *code, uint64_t pc);

/* Where the executable memory from `pc` on ends, or an address behind `size` bytes of it; says whether it may change. */
uint64_t code_executable_end(struct code *code, uint64_t pc, size_t size, bool *changeable);

/* Copies the guest's code at `pc`, up to `size` bytes of executable memory; says how many and whether they may change. */
size_t code_fetch(struct code *code, uint64_t pc, uint8_t *source, size_t size, bool *changeable);

/* Another hart may have built the unit meanwhile. NULL: as code_find(). */
struct unit *code_find_or_build(struct code *code, uint64_t pc);

/* Makes the unit anew: its first instruction alone, never to be translated. */
void code_isolate_unit(struct code *code, struct unit *u);

/* Lets the unit be interpreted for a while before it is tried again. */
void code_recount(const struct code *code, struct unit *u);

#endif
