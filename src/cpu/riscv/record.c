#include "cpu/riscv/record.h"

#include "base/util.h"
#include "cpu/riscv/engine.h"
#include "cpu/riscv/unit.h"

#include <stdatomic.h>
#include <string.h>

/* Rounds that must be alike, fewer where everything is hot at once. Loops that go round less often, or now this way
 * and now that, lose more on their ways in and out than they gain inside. */
enum { ROUNDS = 8 };

struct recorder {
    struct hart *hart;
    const struct record_steps *steps;
    uint64_t context, bias; /* the hart's where it began: elsewhere is other code */
};

struct round {
    uint64_t path;
    unsigned branches, insns;
    uint64_t split; /* where it first goes another way than usual; 0: nowhere */
};

static bool is_branch(const struct rv_insn *insn)
{
    return insn->op >= RV_BEQ && insn->op <= RV_BGEU;
}

/* Calls, returns and other jumps through registers: a loop ends there. */
static bool leaves_loop(const struct rv_insn *insn)
{
    return (insn->op == RV_JAL && insn->rd) || insn->op == RV_JALR;
}

static struct recorder begin(struct hart *hart, const struct record_steps *steps)
{
    hart->exit.kind = EXIT_NONE;
    return (struct recorder){hart, steps, hart->context, hart->bias};
}

static uint64_t place_of(const struct recorder *rec)
{
    return rec->hart->pc - rec->bias;
}

/* One instruction; true: and the next one is to follow. */
static bool step(const struct recorder *rec, struct rv_insn *insn)
{
    struct hart *hart = rec->hart;
    const union cell *cell = rec->steps->find(hart, insn);
    if (!cell || hart->context != rec->context || hart->bias != rec->bias ||
        insn->op == RV_FENCE_I) /* what is there to be seen, the engine shall see */
        return false;
    atomic_fetch_or(&hart->pending, HART_PENDING_STEP);
    rec->steps->go(hart, cell);
    uint32_t before = atomic_fetch_and(&hart->pending, ~HART_PENDING_STEP);
    if (hart->exit.kind != EXIT_PENDING || before != HART_PENDING_STEP)
        return false;
    hart->exit.kind = EXIT_NONE;
    return true;
}

/* What does not fit is left out: it is no way that a loop can be made of. */
static void add_to_way(struct lift_way *way, uint64_t pc, const struct rv_insn *insn)
{
    struct lift_piece *piece = way->pieces + way->piece_count;
    bool goes_on = way->piece_count && piece[-1].pc + piece[-1].bytes == pc;
    if (way->byte_count + insn->length > LIFT_MAX_BYTES || (!goes_on && way->piece_count == LIFT_MAX_PIECES))
        return;
    if (goes_on) {
        piece--;
    } else {
        *piece = (struct lift_piece){.pc = pc};
        way->piece_count++;
    }
    memcpy(way->bytes + way->byte_count, &insn->word, insn->length);
    piece->bytes += insn->length;
    way->byte_count += insn->length;
}

/* From where the hart is to the head. */
static bool go_round(const struct recorder *rec, uint64_t head, uint64_t usual, struct round *r,
                     struct lift_way *way)
{
    *r = (struct round){0};
    do {
        struct rv_insn insn;
        uint64_t pc = place_of(rec);
        if (!step(rec, &insn) || leaves_loop(&insn))
            return false;
        r->insns++;
        if (way)
            add_to_way(way, pc, &insn);
        if (!is_branch(&insn))
            continue;
        if (r->branches == LIFT_PATH_BRANCHES)
            return false;
        r->path |= (uint64_t)(place_of(rec) != pc + insn.length) << r->branches;
        if (!r->split && (r->path ^ usual) >> r->branches & 1)
            r->split = place_of(rec);
        r->branches++;
    } while (place_of(rec) != head && r->insns < LIFT_MAX_INSNS);
    return place_of(rec) == head;
}

/* Some rounds from the head on: do all go the same way? False: *back says whether the hart is at the head once more. */
static bool is_steady(const struct recorder *rec, uint64_t head, struct lift_way *way, bool *back)
{
    struct round first = {0}, r;
    unsigned rounds = MIN(code_engine(rec->hart->code)->hot, (unsigned)ROUNDS);
    way->piece_count = way->byte_count = 0;
    for (unsigned i = 0; i < rounds; i++) {
        *back = go_round(rec, head, 0, &r, i == 0 ? way : NULL);
        if (i == 0)
            first = r;
        if (!*back || r.path != first.path || r.branches != first.branches || r.insns != first.insns)
            return false;
    }
    way->path = first.path;
    return true;
}

/* A hart that leaves a loop soon, for it was counted out in one of its last rounds, often comes back by way of a loop around it: from
 * there all rounds are to come. */
enum record_result record_loop(struct hart *hart, const struct record_steps *steps, uint64_t head,
                               struct lift_way *way)
{
    enum { TIMES = 2 };
    const struct recorder rec = begin(hart, steps);
    struct round r;
    bool back = place_of(&rec) == head || go_round(&rec, head, 0, &r, NULL), steady = false;
    for (unsigned i = 0; i < TIMES && back && !steady; i++)
        steady = is_steady(&rec, head, way, &back);
    if (hart->exit.kind != EXIT_NONE)
        return RECORD_LEFT;
    return steady ? RECORD_STEADY : RECORD_UNSURE;
}

enum record_result record_split(struct hart *hart, const struct record_steps *steps, uint64_t head,
                                uint64_t usual, uint64_t *split)
{
    const struct recorder rec = begin(hart, steps);
    struct round r;
    bool round = (place_of(&rec) == head || go_round(&rec, head, 0, &r, NULL)) &&
                 go_round(&rec, head, usual, &r, NULL);
    if (hart->exit.kind != EXIT_NONE)
        return RECORD_LEFT;
    *split = round ? r.split : 0;
    return *split ? RECORD_STEADY : RECORD_UNSURE;
}
