/* Translated code of one address space: makes it, keeps a copy of the guest's bytes that it was made of, finds it when they
 * change. Private to cpu/riscv.
 *
 * Threads: the code's lock is held around all of it, except where noted. A dead translation stays in memory until its
 * chunk of the cache is used again: harts may be inside.
 * Lifetime: translator_new() ... translator_free(); owned by struct code. */
#ifndef CPU_RISCV_TRANSLATE_H
#define CPU_RISCV_TRANSLATE_H

#include "cpu/riscv/compile.h"
#include "cpu/riscv/engine.h"
#include "cpu/riscv/lift.h"
#include "cpu/riscv/unit.h"
#include "cpu/riscv/watch.h"
#include "jit/cache.h"

struct translator;

/* Puts a piece of guest code into the list of a page where it has bytes. */
struct translation_part {
    struct translation_part *next, **at;
    uint32_t piece;
    uint32_t offset; /* of this in the translation */
};

enum translation_kind {
    TRANSLATION_QUICK,    /* as first made of flat code: entries are counted, after some it is made anew */
    TRANSLATION_COUNTING, /* ways back, or of paged code that is not direct entries, are counted */
    TRANSLATION_PLAIN,    /* where they led often, but there was nothing to gain from */
    TRANSLATION_LOOP,     /* where there was a loop; paged code's are direct */
    TRANSLATION_APART,    /* beside one of the others: without spans, for where one was refused */
};

struct translation_form {
    enum translation_kind kind;
    bool direct; /* of a computer's user code that was entered often: limits.direct */
    uint64_t
        path; /* of a loop; of a plain or direct one that is to be as long as it was before, its instructions */
};

/*   | struct translation | pieces | parts | bytes of the pieces, one after the other |
 *
 * Small, for there are many. */
struct translation {
    struct jit_unit unit;
    struct unit *cold; /* the interpreter's unit, which leads here; NULL: dead, or superseded */
    uint16_t insns;
    uint8_t piece_count, part_count;
    uint8_t kind;  /* this, `direct` and `path`: struct translation_form */
    uint8_t tries; /* to make a loop of it */
    bool direct;
    bool changeable;
    bool cut;   /* struct lift_result */
    bool asked; /* the compile thread is to make a loop of it */
    uint64_t path;
    struct lift_piece pieces[];
};

static inline struct translation_part *translation_parts(const struct translation *t)
{
    return (struct translation_part *)&t->pieces[t->piece_count];
}

static inline uint8_t *translation_bytes(const struct translation *t)
{
    return (uint8_t *)(translation_parts(t) + t->part_count);
}

/* Borrows `ops`, which are the code's with their context; with ops->host the code is a computer's. */
int translator_new(struct translator **out, const struct engine_options *options, const struct code_ops *ops,
                   void *context, uint64_t mem_base, uint64_t extensions, struct guise_error *err);
void translator_free(struct translator *translator);

/* In the child after fork(): the code of all translations is gone. They are cleared away when the first new one is made:
 * a child that executes another program at once does not pay for it. */
void translator_fork_child(struct translator *translator);

/* Without the lock: may translations be entered? Not in a child, until then. */
bool translator_is_ready(const struct translator *translator);

/* Constant, but for a fork: without the lock, by a hart that has an entry or runs translated code. */
const struct jit_thunks *translator_thunks(const struct translator *translator);

/* Without the lock, async-signal-safe: is it an address in translated code? */
bool translator_holds(const struct translator *translator, const void *exec);

/* Without the lock, by a hart that has just come through the link. */
uint64_t translator_link_pc(const struct translator *translator, uint64_t link);

/* Is a unit's entry there, and what is its pc? As jit_cache_locate(). */
bool translator_entry_pc(const struct translator *translator, const void *exec, uint64_t *pc);

/* Where a hart that is asked to stop can go on to from there, so that it leaves; NULL when it has to go on first. *pc is what
 * struct jit_state.value is to be. As jit_cache_locate(). */
const void *translator_way_out(const struct translator *translator, const void *exec, uint64_t *pc);

/* Why there is no translation. */
enum translator_failure {
    TRANSLATOR_NO_ROOM,   /* now */
    TRANSLATOR_INTERPRET, /* the first instruction is the interpreter's */
    TRANSLATOR_NOT_QUICK, /* an instruction is for none of TRANSLATION_QUICK */
};

/* Translates the code at the unit's pc, which `source` has; the two know each other from now on. `changeable` tells, after
 * it was lifted, whether its bytes may change without a code_invalidate(). NULL: *failure says why not. */
struct translation *translator_add(struct translator *translator, struct unit *cold,
                                   const struct lift_source *source, const struct translation_form *form,
                                   const bool *changeable, enum translator_failure *failure);

/* What loops are asked of. */
struct compile *translator_compile(struct translator *translator);

/* The loop that was made on request takes the place of the unit's translation. NULL: there is no memory for its
 * record, or other ones that were made before it were forgotten. */
struct translation *translator_take(struct translator *translator, struct unit *cold,
                                    const struct compile_job *job, bool changeable);

/* A request led to nothing. */
void translator_drop(struct translator *translator);

/* The translation is alive. */
void translator_tie(struct translator *translator, uint64_t link, struct translation *translation);

/* The translation is not entered any more, and its unit counts again. */
void translator_kill(struct translator *translator, struct translation *translation);

/* A direct one that has the instruction at `pc`, or NULL. */
struct translation *translator_find_direct(struct translator *translator, uint64_t pc);

/* Those of fixed or of changeable code that overlap the range; all. */
void translator_kill_range(struct translator *translator, bool changeable, uint64_t start, uint64_t end);
void translator_kill_all(struct translator *translator);

/* Kills those of changeable code in the range whose guest bytes have changed; says what there was. */
enum watch_state translator_compare(struct translator *translator, uint64_t start, uint64_t end);

/* Chunks of the cache; jit/cache.h. */
bool translator_is_low(const struct translator *translator);
int translator_evict(struct translator *translator);
void translator_reuse(struct translator *translator, int chunk);

/* Puts the guest's registers and pc as they were at hart->fault into the hart, and the address that was accessed into
 * *address. False: no instruction of a unit is there. */
bool translator_recover(struct translator *translator, struct hart *hart, uint64_t *address);

/* Appends the translation as text: enum engine_dump. */
struct buf;
void translator_print(struct translator *translator, const struct translation *translation, unsigned what,
                      struct buf *out);

struct engine_stats translator_stats(const struct translator *translator);

#endif
