/* How quick units are left and entered: branches, jumps, calls, returns, the count of entries. */
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "base/util.h"
#include "quick_bench.h"

/* ---- Ways out ---- */

static void branches_leave(void **state)
{
    (void)state;
    static const uint8_t ops[] = {IR_EQ, IR_NE, IR_LT, IR_GE, IR_LTU, IR_GEU};
    static struct quick_bench q;
    unsigned taken[ARRAY_SIZE(ops)][2] = {{0}};
    start(&q);
    for (unsigned i = 0; i < ARRAY_SIZE(ops); i++)
        for (unsigned a = 0; a < ARRAY_SIZE(sources); a++)
            for (unsigned b = 0; b < ARRAY_SIZE(sources); b++) {
                const struct jit_quick_ins ins = {.kind = JIT_QUICK_BRANCH,
                                                  .op = ops[i],
                                                  .a = sources[a],
                                                  .b = sources[b],
                                                  .number = BRANCH};
                begin(&q);
                add(&q, ins);
                make(&q);
                for (unsigned k = 0; k < 4 * ROUNDS; k++) {
                    fill_slots(&q);
                    bool leaves = compare(&ins, q.slots);
                    const struct ending is = run(&q), right = {JIT_LINK, leaves ? BRANCH : AFTER, 0};
                    check_ending(&q, &is, &right);
                    check_slots(&q, q.slots);
                    taken[i][leaves]++;
                }
            }
    for (unsigned i = 0; i < ARRAY_SIZE(ops); i++)
        assert_true(taken[i][0] > 100 && taken[i][1] > 100);
    finish(&q);
}

/* The slots after a branch that leaves are those before it. */
static void branches_leave_in_order(void **state)
{
    (void)state;
    static struct quick_bench q;
    start(&q);
    begin(&q);
    for (unsigned i = 0; i < 6; i++) {
        const struct jit_quick_ins set = {.kind = JIT_QUICK_COMPUTE,
                                          .op = IR_ADD,
                                          .type = IR_I64,
                                          .to = i % 2 ? 3 : WIDE_PINS,
                                          .a = 4,
                                          .b = NONE};
        const struct jit_quick_ins leave = {
            .kind = JIT_QUICK_BRANCH, .op = IR_EQ, .a = 5, .b = 6, .number = BRANCH + 2 * (int)i};
        add(&q, set);
        q.code.ins[q.code.count - 1].number = i + 1;
        add(&q, leave);
        q.code.ins[q.code.count - 1].b = (uint8_t)(i < 3 ? 6 + i : WIDE_PINS + i - 2);
    }
    make(&q);
    for (unsigned i = 0; i <= 6; i++) {
        uint64_t want[WIDE_SLOTS];
        for (unsigned slot = 0; slot < WIDE_SLOTS; slot++)
            q.slots[slot] = 1000 + slot;
        for (unsigned k = i; k < 6; k++) /* this one is equal, and those behind it */
            q.slots[k < 3 ? 6 + k : WIDE_PINS + k - 2] = q.slots[5];
        memcpy(want, q.slots, sizeof(want));
        for (unsigned k = 0; k <= i && k < 6; k++)
            want[k % 2 ? 3 : WIDE_PINS] = want[4] + k + 1;
        const struct ending is = run(&q), right = {JIT_LINK, i < 6 ? BRANCH + 2 * i : AFTER, 0};
        check_ending(&q, &is, &right);
        check_slots(&q, want);
    }
    finish(&q);
}

/* The unit may be entered once, and then is left where it begins, with nothing done. */
static void entries_are_counted(void **state)
{
    (void)state;
    static const uint64_t pcs[] = {0, 2, PC, PC + 2 * JIT_ENTRIES - 2, 0x7ffffffffffe, 0x123456780};
    static struct quick_bench q;
    start(&q);
    for (unsigned i = 0; i < ARRAY_SIZE(pcs); i++) {
        begin(&q);
        q.code.pc = pcs[i];
        add(&q, (struct jit_quick_ins){.kind = JIT_QUICK_CONSTANT, .to = 3, .number = 7});
        add(&q, (struct jit_quick_ins){.kind = JIT_QUICK_CONSTANT, .to = WIDE_PINS, .number = 8});
        make(&q);
        fill_slots(&q);
        struct ending is = run(&q);
        const struct ending usual = {JIT_LINK, AFTER, 0}, often = {JIT_STOP + OFTEN, pcs[i], 0};
        check_ending(&q, &is, &usual);
        assert_int_equal(q.b.cpu->slots[3], 7);
        memcpy(q.b.cpu->slots, q.slots, sizeof(q.slots));
        is = (struct ending){bench_run(&q.b, &q.made), q.b.cpu->state.value, 0};
        check_ending(&q, &is, &often);
        check_slots(&q, q.slots);
        assert_int_equal(q.b.cpu->state.entries[jit_entry_counter(pcs[i])], -1);
        q.b.cpu->state.entries[jit_entry_counter(pcs[i])] = 0;
    }
    for (unsigned i = 0; i < JIT_ENTRIES; i++) /* none but theirs */
        assert_int_equal(q.b.cpu->state.entries[i], 0);
    finish(&q);
}

/* What an exit finds: a unit of one exit alone, which stays, as do those that are made later. */
static const void *unit_of(struct quick_bench *q, uint64_t pc, struct ir_exit exit)
{
    begin(q);
    q->code.pc = pc;
    q->code.exit = exit;
    make(q);
    q->b.room = q->made.room;
    q->b.cpu->state.entries[jit_entry_counter(pc)] = INT32_MAX;
    return q->made.entry;
}

static void cache_jump(struct quick_bench *q, uint64_t pc, const void *entry)
{
    q->b.cpu->state.jumps[pc / 2 % JIT_JUMP_COUNT] = (struct jit_jump){pc, entry};
}

static void goes_on_where_it_says(void **state)
{
    (void)state;
    static struct quick_bench q;
    static const uint64_t pcs[] = {0, AFTER, 0x7ffffffffffe};
    start(&q);
    for (unsigned i = 0; i < ARRAY_SIZE(pcs); i++) {
        begin(&q);
        q.code.exit = (struct ir_exit){.kind = IR_EXIT_GO, .pc = pcs[i]};
        make(&q);
        assert_int_equal(q.made.site_count, 1);
        fill_slots(&q);
        struct ending is = run(&q);
        check_ending(&q, &is, &(struct ending){JIT_LINK, pcs[i], 0});
        q.code.exit = (struct ir_exit){.kind = IR_EXIT_STOP, .pc = pcs[i], .reason = REASON};
        make(&q);
        is = run(&q);
        check_ending(&q, &is, &(struct ending){JIT_STOP + REASON, pcs[i], 0});
        check_slots(&q, q.slots);
    }
    finish(&q);
}

enum { FAR_AWAY = 0x40010, MISSING = 0x50000 };

/* An indirect jump or call by way of the slot, which sets the link; the target is in the jump cache, or is not. */
static void check_indirect(struct quick_bench *q, unsigned target, unsigned link, int32_t offset,
                           enum ir_exit_kind kind, uint64_t return_pc)
{
    static const uint64_t targets[] = {FAR_AWAY, MISSING, FAR_AWAY + 1, FAR_AWAY + 2 * JIT_JUMP_COUNT};
    begin(q);
    q->code.exit = (struct ir_exit){
        .kind = (uint8_t)kind, .return_pc = return_pc, .check = link != NONE ? (uint8_t)link : 0};
    q->code.target = (uint8_t)target;
    q->code.target_offset = offset;
    q->code.link = (uint8_t)link;
    make(q);
    for (unsigned i = 0; i < ARRAY_SIZE(targets); i++) {
        uint64_t want[WIDE_SLOTS], to = targets[i];
        fill_slots(q);
        if (target == ZERO)
            to = (uint64_t)(int64_t)offset;
        else
            q->slots[target] = to - (uint64_t)(int64_t)offset;
        memcpy(want, q->slots, sizeof(want));
        if (link != NONE)
            want[link] = return_pc;
        struct ending is = run(q), right = {to == FAR_AWAY ? JIT_STOP + REASON : JIT_LOOKUP, to, 0};
        check_ending(q, &is, &right);
        check_slots(q, want);
        bool pushed = kind == IR_EXIT_INDIRECT_CALL && q->b.as->modes.no_returns == false;
        assert_int_equal((char *)q->b.cpu->state.return_base - (char *)q->b.cpu->state.return_sp,
                         pushed ? 8 : 0);
    }
}

static void check_all_indirect(struct quick_bench *q)
{
    static const uint8_t slots[] = {0, 1, 9, WIDE_PINS, WIDE_PINS + 1, ZERO};
    static const uint64_t returns[] = {PC + 4, 0x80000000, 0x123456789abc};
    static const int32_t reaches[] = {0, 4, -2048};
    cache_jump(
        q, FAR_AWAY,
        unit_of(q, FAR_AWAY, (struct ir_exit){.kind = IR_EXIT_STOP, .pc = FAR_AWAY, .reason = REASON}));
    for (unsigned i = 0; i < ARRAY_SIZE(slots); i++)
        for (unsigned k = 0; k < ARRAY_SIZE(slots); k++)
            for (unsigned n = 0; n < 9; n++) {
                unsigned link = slots[k] == ZERO ? NONE : slots[k];
                check_indirect(q, slots[i], link, reaches[n % 3], IR_EXIT_INDIRECT, returns[n / 3]);
                if (link != NONE)
                    check_indirect(q, slots[i], link, reaches[n % 3], IR_EXIT_INDIRECT_CALL, returns[n / 3]);
            }
}

static void jumps_are_computed(void **state)
{
    (void)state;
    static struct quick_bench q;
    start(&q);
    check_all_indirect(&q);
    finish(&q);
    start_with(&q, (struct jit_modes){.no_returns = true});
    check_all_indirect(&q);
    finish(&q);
}

static const struct ir_exit returning = {.kind = IR_EXIT_RETURN, .check = 0};

/* Where a return leads that no call was made for: where the slot says. */
static void returns_without_a_call_look_it_up(void **state)
{
    (void)state;
    static struct quick_bench q;
    for (unsigned no_returns = 0; no_returns < 2; no_returns++) {
        start_with(&q, (struct jit_modes){.no_returns = no_returns});
        const struct ir_exit stop = {.kind = IR_EXIT_STOP, .pc = FAR_AWAY, .reason = REASON};
        cache_jump(&q, FAR_AWAY, unit_of(&q, FAR_AWAY, stop));
        begin(&q);
        q.code.exit = returning;
        add(&q, (struct jit_quick_ins){.kind = JIT_QUICK_COMPUTE,
                                       .op = IR_ADD,
                                       .type = IR_I64,
                                       .to = 0,
                                       .a = 1,
                                       .b = NONE,
                                       .number = 2});
        make(&q);
        fill_slots(&q);
        q.slots[1] = FAR_AWAY - 2;
        struct ending is = run(&q);
        check_ending(&q, &is, &(struct ending){JIT_STOP + REASON, FAR_AWAY, 0});
        q.slots[1] = MISSING - 2;
        is = run(&q);
        check_ending(&q, &is, &(struct ending){JIT_LOOKUP, MISSING, 0});
        finish(&q);
    }
}

/* A call of a unit that returns, or that adds to the return address first: then the caller's return site is missed. */
static void check_call(struct quick_bench *q, enum ir_exit_kind kind, uint64_t return_pc, int64_t more)
{
    const struct jit_quick_ins change = {
        .kind = JIT_QUICK_COMPUTE, .op = IR_ADD, .type = IR_I64, .to = 0, .a = 0, .b = NONE, .number = more};
    begin(q);
    q->code.pc = FAR_AWAY;
    q->code.exit = returning;
    add(q, change);
    make(q);
    q->b.room = q->made.room;
    q->b.cpu->state.entries[jit_entry_counter(FAR_AWAY)] = INT32_MAX;
    const void *callee = q->made.entry;
    cache_jump(q, FAR_AWAY, callee);

    begin(q);
    q->code.exit =
        (struct ir_exit){.kind = (uint8_t)kind, .pc = FAR_AWAY, .return_pc = return_pc, .check = 0};
    q->code.target = WIDE_PINS;
    q->code.link = 0;
    if (kind == IR_EXIT_CALL)
        add(q, (struct jit_quick_ins){.kind = JIT_QUICK_CONSTANT, .to = 0, .number = (int64_t)return_pc});
    make(q);
    fill_slots(q);
    q->slots[WIDE_PINS] = FAR_AWAY;
    bool returns = !q->b.as->modes.no_returns;
    if (kind == IR_EXIT_CALL) {
        struct ending is = run(q);
        check_ending(q, &is, &(struct ending){JIT_LINK, FAR_AWAY, 0});
        assert_int_equal((char *)q->b.cpu->state.return_base - (char *)q->b.cpu->state.return_sp,
                         returns ? 8 : 0);
        for (unsigned i = 0; i < q->made.site_count; i++)
            if (q->sites[i].pc == FAR_AWAY)
                jit_patch(q->sites[i].field, 0, callee);
    }
    struct ending is = run(q),
                  right = {returns && !more ? JIT_LINK : JIT_LOOKUP, return_pc + (uint64_t)more, 0};
    check_ending(q, &is, &right);
    assert_int_equal(q->b.cpu->slots[0], right.pc);
    assert_ptr_equal(q->b.cpu->state.return_sp, q->b.cpu->state.return_base);
    q->b.room = q->room;
}

static void calls_are_returned_from(void **state)
{
    (void)state;
    static struct quick_bench q;
    static const uint64_t returns[] = {PC + 4, 0x80000000, 0x123456789abc};
    for (unsigned i = 0; i < 12; i++) {
        start_with(&q, (struct jit_modes){.no_returns = i / 6});
        check_call(&q, IR_EXIT_CALL, returns[i % 3], i / 3 % 2 ? 4 : 0);
        check_call(&q, IR_EXIT_INDIRECT_CALL, returns[i % 3], i / 3 % 2 ? 4 : 0);
        finish(&q);
    }
}

int main(void)
{
    bench_make_slots();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(branches_leave),          cmocka_unit_test(branches_leave_in_order),
        cmocka_unit_test(entries_are_counted),     cmocka_unit_test(goes_on_where_it_says),
        cmocka_unit_test(jumps_are_computed),      cmocka_unit_test(returns_without_a_call_look_it_up),
        cmocka_unit_test(calls_are_returned_from),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
