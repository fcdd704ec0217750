/* The random instruction stream: items, each one instruction with what makes it safe and telling, or a small structure
 * (branch, loop, call, LR/SC pair) of such.
 *
 * An item depends on the seed and its number alone (and on registers known to hold pointers), so that leaving items out
 * does not change the others: a mismatch can be narrowed down by dropping items.
 *
 * Threads: none. Lifetime: stream_init() ... no release; borrows its configuration and text. */
#ifndef DIFF_STREAM_H
#define DIFF_STREAM_H

#include "rng.h"
#include "rows.h"
#include "text.h"

struct stream_config {
    uint64_t seed;
    unsigned illegal;            /* percentage of items that are words picked without regard for validity */
    unsigned faults;             /* percentage of items that access memory where they may not */
    bool structures;             /* loops, calls and other things that need rows of their own */
    uint16_t rows[RV_ROW_COUNT]; /* to choose from */
    unsigned row_count;
    bool chosen[RV_ROW_COUNT]; /* the same as a set */
};

struct stream {
    const struct stream_config *config;
    struct text *text; /* borrows */
    struct rng rng;
    uint64_t pointer[32];            /* the address that the x register is known to hold, 0 when unknown */
    uint32_t locked;                 /* x registers that must keep their values */
    unsigned depth;                  /* of structures around what is being made */
    unsigned skipped;                /* branches that may go around it */
    unsigned executed[RV_ROW_COUNT]; /* how often each row is certain to be executed in one pass */
};

void stream_init(struct stream *stream, const struct stream_config *config, struct text *text);

/* Every register's contents are unknown from here on: code may come here from elsewhere. */
void stream_forget(struct stream *stream);

void stream_item(struct stream *stream, uint64_t number);

#endif
