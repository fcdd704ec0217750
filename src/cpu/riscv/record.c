#include "cpu/riscv/record.h"

#include "base/util.h"
#include "cpu/riscv/engine.h"
#include "cpu/riscv/unit.h"

#include <stdatomic.h>
#include <string.h>

/* Rounds that must be alike, fewer where everything is hot at once. Loops that go round less often, or now this way
 * and now that, lose more on their ways in and out than they gain inside. */
enum { ROUNDS = 8 };

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

/* One instruction; true: and the next one is to follow. */
static bool step(struct hart *hart, struct rv_insn *insn)
{
    const union cell *cell = code_step(hart, insn);
    if (!cell || insn->op == RV_FENCE_I) { /* what is there to be seen, the engine shall see */
        hart->exit.kind = EXIT_NONE;
        return false;
    }
    atomic_fetch_or(&hart->pending, HART_PENDING_STEP);
    interp_go(hart, cell);
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
static bool go_round(struct hart *hart, uint64_t head, uint64_t usual, struct round *r, struct lift_way *way)
{
    *r = (struct round){0};
    do {
        struct rv_insn insn;
        uint64_t pc = hart->pc;
        if (!step(hart, &insn) || leaves_loop(&insn))
            return false;
        r->insns++;
        if (way)
            add_to_way(way, pc, &insn);
        if (!is_branch(&insn))
            continue;
        if (r->branches == LIFT_PATH_BRANCHES)
            return false;
        r->path |= (uint64_t)(hart->pc != pc + insn.length) << r->branches;
        if (!r->split && (r->path ^ usual) >> r->branches & 1)
            r->split = hart->pc;
        r->branches++;
    } while (hart->pc != head && r->insns < LIFT_MAX_INSNS);
    return hart->pc == head;
}

enum record_result record_loop(struct hart *hart, uint64_t head, struct lift_way *way)
{
    struct round first = {0}, r;
    bool steady = hart->pc == head || go_round(hart, head, 0, &r, NULL);
    way->piece_count = way->byte_count = 0;
    unsigned rounds = MIN(code_engine(hart->code)->hot, (unsigned)ROUNDS);
    for (unsigned i = 0; i < rounds && steady; i++) {
        steady = go_round(hart, head, 0, &r, i == 0 ? way : NULL);
        if (i == 0)
            first = r;
        steady &= r.path == first.path && r.branches == first.branches && r.insns == first.insns;
    }
    if (hart->exit.kind != EXIT_NONE)
        return RECORD_LEFT;
    way->path = first.path;
    return steady ? RECORD_STEADY : RECORD_UNSURE;
}

enum record_result record_split(struct hart *hart, uint64_t head, uint64_t usual, uint64_t *split)
{
    struct round r;
    bool round =
        (hart->pc == head || go_round(hart, head, 0, &r, NULL)) && go_round(hart, head, usual, &r, NULL);
    if (hart->exit.kind != EXIT_NONE)
        return RECORD_LEFT;
    *split = round ? r.split : 0;
    return *split ? RECORD_STEADY : RECORD_UNSURE;
}
