/* Host code of guest sequences: golden baseline|full|paged|quick < SEQUENCES    (paged: full, of a computer; quick: quick units, where
 * there can be one)
 *
 * A line of the input is a name and the guest's code in hexadecimal; each becomes a line of the output: name, guest
 * instructions, address and bytes of its hot code from the entry on, bytes of its cold code. Addresses and instruction sets do not depend
 * on this machine. tests/jit/golden/run makes the input and reads the output. */
#include "cpu/riscv/hart.h"
#include "cpu/riscv/lift.h"
#include "jit/assembler.h"
#include "jit/target/x86_64/emit.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ROOM = 4 * JIT_UNIT_MAX, LINE = 8192, MAX_INSNS = 64, PAGE_BITS = 10 };
static const uint64_t guest_pc = 0x10000, host_address = 0x70000000;

struct guest {
    uint8_t bytes[LIFT_MAX_BYTES];
    unsigned size;
};

/* struct lift_source.fetch */
static unsigned fetch(void *context, uint64_t pc, uint8_t *bytes, unsigned size)
{
    const struct guest *guest = context;
    uint64_t offset = pc - guest_pc;
    if (offset >= guest->size)
        return 0;
    if (size > guest->size - offset)
        size = (unsigned)(guest->size - offset);
    memcpy(bytes, guest->bytes + offset, size);
    return size;
}

/* struct lift_source.known: a quick unit cannot end for want of code. */
static bool is_end(void *context, uint64_t pc)
{
    return pc - guest_pc >= ((const struct guest *)context)->size;
}

static void read_hex(struct guest *guest, const char *hex)
{
    unsigned byte;
    guest->size = 0;
    while (guest->size < sizeof(guest->bytes) && sscanf(hex, "%2x", &byte) == 1) {
        guest->bytes[guest->size++] = (uint8_t)byte;
        hex += 2;
    }
}

struct maker {
    struct jit_machine machine;
    struct jit_assembler *as;
    struct jit_thunks thunks;
    struct jit_room room;
    struct lift_limits limits;
    struct ir ir;
    struct lift_result lifted;
    bool quick;
    struct jit_quick_code code;
};

/* A jit_helper: nothing is executed here. */
static bool no_helper(void *state_register, const void *at)
{
    (void)state_register, (void)at;
    return false;
}

/* The code's address is what it was told, wherever the memory is. */
static int maker_init(struct maker *m, bool full, bool paged)
{
    uint8_t *memory = malloc(ROOM);
    if (!memory)
        return -1;
    const struct jit_modes modes = {.baseline = !full};
    m->machine = (struct jit_machine){
        .ir = lift_machine,
        .state = LIFT_OFFSET(jit),
        .pending = LIFT_OFFSET(pending),
        .return_slot = lift_x_slot[1],
        .calls = lift_calls,
    };
    if (paged) {
        m->machine.page_bits = PAGE_BITS;
        m->machine.pages = LIFT_OFFSET(tlb);
        m->machine.bias = LIFT_OFFSET(bias);
        m->machine.helper = no_helper;
    }
    m->room = (struct jit_room){memory, memory + ROOM, (ptrdiff_t)(host_address - (uint64_t)memory)};
    jit_make_thunks(&m->machine, modes, &m->room, &m->thunks);
    if (jit_assembler_new(&m->as, &m->machine, modes))
        return -1;
    m->as->features = full ? X86_BMI1 | X86_BMI2 | X86_LZCNT | X86_POPCNT | X86_AVX | X86_FMA : 0;
    m->limits = (struct lift_limits){
        .extensions = ~UINT64_C(0), .max_insns = MAX_INSNS, .has_fma = full, .paged = paged, .spans = paged};
    return 0;
}

static void print_thunks(const struct jit_thunks *t)
{
    const struct {
        const char *name;
        const void *address;
    } names[] = {{"link", t->link},
                 {"lookup", t->lookup},
                 {"poll", t->poll},
                 {"stop", t->stop},
                 {"missed_return", t->missed_return},
                 {"underflow", t->underflow},
                 {"call", t->call},
                 {"call_fp", t->call_fp},
                 {"constants", t->constants}};
    for (unsigned i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        printf("%s %#" PRIx64 "\n", names[i].name, (uint64_t)names[i].address);
    printf("\n");
}

static void make(struct maker *m, const char *name, struct guest *guest)
{
    const struct lift_source source = {.fetch = fetch, .context = guest};
    const struct lift_source quick_source = {.fetch = fetch, .known = is_end, .context = guest};
    struct jit_result result;
    if (m->quick ? !lift_quick(&m->code, &quick_source, &m->limits, guest_pc, &m->lifted)
                 : !lift_unit(&m->ir, &source, &m->limits, guest_pc, &m->lifted)) {
        printf("%s 0 0 - 0\n", name);
        return;
    }
    if (m->quick)
        jit_quick(m->as, &m->ir, &m->code, &m->thunks, m->room, 0, &result);
    else
        jit_assemble(m->as, &m->ir, &m->thunks, m->room, 0, &result);
    printf("%s %u %#" PRIx64 " ", name, m->lifted.insns, (uint64_t)result.entry);
    for (const uint8_t *at = result.entry - m->room.to_exec; at < m->room.hot; at++)
        printf("%02x", *at);
    printf(" %td\n", result.room.cold - m->room.cold);
}

int main(int argc, char **argv)
{
    static struct maker maker;
    static struct guest guest;
    static char line[LINE], name[LINE], hex[LINE];
    if (argc != 2 || maker_init(&maker, strcmp(argv[1], "baseline") != 0, strcmp(argv[1], "paged") == 0))
        return 2;
    maker.quick = strcmp(argv[1], "quick") == 0;
    print_thunks(&maker.thunks);
    while (fgets(line, sizeof(line), stdin))
        if (sscanf(line, "%8191s %8191s", name, hex) == 2) {
            read_hex(&guest, hex);
            make(&maker, name, &guest);
        }
    jit_assembler_free(maker.as);
    return 0;
}
