/* Calls of the firmware at random, as a hostile kernel would make them. Sanitizers watch; and whatever the call, it changes
 * a0 and a1 alone and answers with an error that there is, unless it is one that does not return.
 *
 * Most runs make their calls one after the other on one hart. Some start a machine of several harts, each of which makes its
 * part of the calls again and again while others stop, start and suspend; it is ended from outside.
 *
 * With libFuzzer (-DGUISE_LIBFUZZER -fsanitize=fuzzer) LLVMFuzzerTestOneInput() is all. Without it the program makes
 * its own input from a seed: fuzz_sbi [RUNS [SEED]]. */
#include "base/util.h"
#include "console/stream.h"
#include "insns.h"
#include "machine/sbi.h"

#include <assert.h>
#include <string.h>
#include <unistd.h>

#include "driver.h"

#undef assert
#define assert(x)                             \
    do {                                      \
        if (!(x)) {                           \
            fprintf(stderr, "not: %s\n", #x); \
            abort();                          \
        }                                     \
    } while (0)

#define MIB UINT64_C(0x100000)

enum {
    HARTS = 3,
    REGISTERS = 8, /* a0 to a7 */
    CALLS = 64,    /* of a hart */
    A0 = 10,
    A6 = 16,
    A7 = 17,
    T0 = 5,
    S0 = 8,
    S1 = 9,
    S2 = 18,
    RUNNING_MICROSECONDS = 4000,
};

/* Of the guest: where the kernel is loaded, its first instruction, and behind that each hart's calls. */
#define KERNEL  (LAYOUT_RAM + 2 * MIB)
#define PROGRAM (KERNEL + 64)

struct step {
    uint8_t extension, function, kinds[6]; /* of the arguments */
    uint64_t value;
};

static struct world {
    struct loop loop;
    struct console *console;
    struct engine_options engine;
    struct machine_config config;
    struct machine *machine; /* that does not run */
    char kernel[32];         /* path of a file */
} world;

/* ---- Calls ---- */

static const uint64_t extensions[] = {0x10,       0x54494d45, 0x735049,   0x52464e43, 0x48534d, 0x53525354,
                                      0x504d55,   0x4442434e, 0x53555350, 0x48534d,   0x735049, 0,
                                      0x09000000, 0x48534d,   0x52464e43, UINT64_MAX};

static uint64_t argument(const struct step *s, unsigned i)
{
    uint64_t value = s->value >> 8 * i;
    switch (s->kinds[i] % 12) {
    case 0: return value % 4;
    case 1: return value % 32;
    case 2: return BIT(value % 64);
    case 3: return UINT64_MAX;
    case 4: return PROGRAM;
    case 5: return LAYOUT_RAM + value % (64 * MIB);
    case 6: return LAYOUT_RAM + 64 * MIB - value % 64;
    case 7: return BIT(31) | value % 2;
    case 8: return value % 5000;
    case 9: return value << 32;
    case 10: return (uint32_t)value;
    default: return s->value;
    }
}

static void make_call(const struct step *s, uint64_t registers[REGISTERS])
{
    bool wild = s->function >= 0xf0;
    for (unsigned i = 0; i < 6; i++)
        registers[i] = argument(s, i);
    registers[6] = wild ? s->value : s->function % 12;
    registers[7] = extensions[s->extension % ARRAY_SIZE(extensions)];
}

/* ---- One hart ---- */

static struct machine *new_machine(void)
{
    struct machine *m;
    assert(machine_new(&m, &world.config, NULL) == 0);
    return m;
}

static void reset(struct machine *m)
{
    atomic_store(&m->end, MACHINE_RUNS);
    for (unsigned i = 0; i < HARTS; i++) {
        system_hart_reset(m->harts[i].hart, PRIV_S, PROGRAM, i, 0);
        m->harts[i].state = HART_STOPPED;
        sbi_pmu_reset(&m->harts[i].pmu);
    }
}

/* Whatever makes the hart sleep, an interrupt wakes it. */
static void stay_awake(struct machine_hart *h)
{
    h->state = HART_STARTED;
    h->hart->sys.mie |= BIT(IRQ_SSI);
    sys_raise_ssi(&h->hart->sys);
}

static void check_answer(const struct hart *hart, const uint64_t before[32], uint64_t pc)
{
    const int64_t error = (int64_t)hart->x[A0];
    if (hart->pc != pc + 4)
        return; /* it goes on elsewhere */
    assert(error <= SBI_SUCCESS && error >= SBI_ERR_NO_SHMEM);
    for (unsigned i = 0; i < 32; i++)
        assert(i == A0 || i == A0 + 1 || hart->x[i] == before[i]);
}

static void call(struct machine_hart *h, const struct step *s)
{
    struct hart *hart = &h->hart->hart;
    uint64_t before[32], pc = hart->pc;
    make_call(s, &hart->x[A0]);
    memcpy(before, hart->x, sizeof(before));
    stay_awake(h);
    sbi_call(h);
    check_answer(hart, before, pc);
}

static void run_alone(const struct step *steps, size_t count)
{
    if (!world.machine)
        world.machine = new_machine();
    reset(world.machine);
    for (size_t i = 0; i < count; i++)
        call(&world.machine->harts[0], &steps[i]);
}

/* ---- Several harts ---- */

struct kernel {
    uint32_t code[2]; /* jumps to the program */
    uint64_t text_offset, image_size, flags;
    uint32_t version, reserved1;
    uint64_t reserved2;
    char magic[8], magic2[4];
    uint32_t reserved3;
    uint32_t program[1024]; /* a page: `auipc` leads from its first word to the calls */
    uint64_t calls[HARTS][CALLS][REGISTERS];
};

_Static_assert(offsetof(struct kernel, program) == 64 && sizeof(((struct kernel *)0)->calls[0]) == 4096,
               "the program knows where calls are");

/* Makes its hart's calls in a circle. */
static void write_program(uint32_t *at)
{
    const struct rv_insn head[] = {AUIPC(S0, 4096),
                                   INSN(SLLI, .rd = T0, .rs1 = A0, .imm = 12),
                                   INSN(ADD, .rd = S2, .rs1 = S0, .rs2 = T0),
                                   LUI(T0, 4096),
                                   INSN(ADD, .rd = S1, .rs1 = S2, .rs2 = T0),
                                   ADDI(T0, 0, BIT(IRQ_SSI) | BIT(IRQ_STI)),
                                   CSRRS(0, RV_CSR_SIE, T0),
                                   ADDI(S0, S2, 0)};
    const struct rv_insn tail[] = {ADDI(S0, S0, 8 * REGISTERS), ECALL, BNE(S0, S1, -4 * (REGISTERS + 2)),
                                   JAL(0, -4 * (REGISTERS + 4))};
    for (unsigned i = 0; i < ARRAY_SIZE(head); i++)
        *at++ = rv_encode(&head[i]);
    for (unsigned i = 0; i < REGISTERS; i++)
        *at++ = rv_encode(&INSN(LD, .rd = (uint8_t)(A0 + i), .rs1 = S0, .imm = (int32_t)(8 * i)));
    for (unsigned i = 0; i < ARRAY_SIZE(tail); i++)
        *at++ = rv_encode(&tail[i]);
}

static void write_kernel(const struct step *steps, size_t count)
{
    struct kernel k = {.text_offset = 2 * MIB, .image_size = sizeof(k), .version = 2, .magic = "RISCV\0\0"};
    memcpy(k.magic2, "RSC\5", sizeof(k.magic2));
    k.code[0] = rv_encode(&JAL(0, 64));
    write_program(k.program);
    for (unsigned i = 0; i < HARTS * CALLS; i++)
        make_call(&steps[i * 7 % count], k.calls[i % HARTS][i / HARTS]);
    FILE *file = fopen(world.kernel, "wb");
    assert(file && fwrite(&k, sizeof(k), 1, file) == 1 && fclose(file) == 0);
}

static void *end_later(void *machine)
{
    usleep(RUNNING_MICROSECONDS);
    machine_stop(machine, MACHINE_STOPPED);
    return NULL;
}

static void run_together(const struct step *steps, size_t count)
{
    enum machine_end end;
    pthread_t ender;
    write_kernel(steps, count);
    struct machine *m = new_machine();
    assert(pthread_create(&ender, NULL, end_later, m) == 0);
    assert(machine_run(m, &end, NULL) == 0);
    assert(end != MACHINE_RUNS && end != MACHINE_BROKEN);
    pthread_join(ender, NULL);
    machine_free(m);
}

/* ---- */

static void world_start(struct world *w)
{
    strcpy(w->kernel, "/tmp/guise-fuzz-XXXXXX");
    int fd = mkstemp(w->kernel);
    assert(fd >= 0 && close(fd) == 0);
    assert(loop_init(&w->loop, NULL) == 0 &&
           console_open_stdio(&w->console, &w->loop, -1, -1, NULL, NULL) == 0);
    w->engine = (struct engine_options)ENGINE_DEFAULTS;
    w->engine.kind = ENGINE_INTERP;
    w->config = (struct machine_config){.board = {.memory = 64 * MIB,
                                                  .harts = HARTS,
                                                  .extensions = UINT64_MAX >> (64 - RV_EXT_PROGRAM_COUNT),
                                                  .engine = &w->engine,
                                                  .serial = w->console,
                                                  .loop = &w->loop},
                                        .files = {.kernel = w->kernel, .append = "reboot=panic_warm"}};
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    enum { MOST = 256, SELDOM = 64 };
    struct step steps[MOST];
    size_t count = MIN(size / sizeof(steps[0]), (size_t)MOST);
    if (!world.config.board.memory)
        world_start(&world);
    if (!count)
        return 0;
    memcpy(steps, data, count * sizeof(steps[0]));
    if (steps[0].value % SELDOM == 0)
        run_together(steps, count);
    else
        run_alone(steps, count);
    return 0;
}

#ifndef GUISE_LIBFUZZER

int main(int argc, char **argv)
{
    fuzz_drive("fuzz_sbi", argc, argv, fuzz_steps, NULL);
    if (world.machine)
        machine_free(world.machine);
    if (world.console)
        console_free(world.console);
    if (world.config.board.memory)
        loop_release(&world.loop);
    unlink(world.kernel);
    return 0;
}

#endif
