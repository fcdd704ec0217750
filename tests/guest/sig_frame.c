/* The signal frame: every register survives a handler, and what the handler writes into the frame takes effect.
 * reference: self qemu-user 7.2 reads sa_mask from the wrong place */
#include "test.h"
#include <stddef.h>
#include <ucontext.h>

/* Fills x5..x31 (without the stack and thread pointers) and f0..f31 with known values, traps, and stores what it
 * finds afterwards. a0: where to store; a1: the value of fcsr. */
__asm__(".text\n.globl registers_across\nregisters_across:\n"
        " addi sp, sp, -256\n sd ra, 0(sp)\n sd s0, 8(sp)\n sd s1, 16(sp)\n sd s2, 24(sp)\n sd s3, 32(sp)\n"
        " sd s4, 40(sp)\n sd s5, 48(sp)\n sd s6, 56(sp)\n sd s7, 64(sp)\n sd s8, 72(sp)\n sd s9, 80(sp)\n"
        " sd s10, 88(sp)\n sd s11, 96(sp)\n sd gp, 104(sp)\n sd a0, 112(sp)\n sd tp, 120(sp)\n"
        " fsd fs0, 128(sp)\n fsd fs1, 136(sp)\n fsd fs2, 144(sp)\n fsd fs3, 152(sp)\n fsd fs4, 160(sp)\n"
        " fsd fs5, 168(sp)\n fsd fs6, 176(sp)\n fsd fs7, 184(sp)\n fsd fs8, 192(sp)\n fsd fs9, 200(sp)\n"
        " fsd fs10, 208(sp)\n fsd fs11, 216(sp)\n"
        " mv t0, a2\n"
        ".irp n,0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31\n"
        " fld f\\n, 8*\\n(t0)\n.endr\n"
        " fscsr a1\n li x1, 1001\n li x5, 1005\n li x6, 1006\n li x7, 1007\n li x8, 1008\n li x9, 1009\n"
        " li x11, 1011\n li x12, 1012\n li x13, 1013\n li x14, 1014\n li x15, 1015\n li x16, 1016\n"
        " li x17, 1017\n li x18, 1018\n li x19, 1019\n li x20, 1020\n li x21, 1021\n li x22, 1022\n"
        " li x23, 1023\n li x24, 1024\n li x25, 1025\n li x26, 1026\n li x27, 1027\n li x28, 1028\n"
        " li x29, 1029\n li x30, 1030\n li x31, 1031\n"
        ".option push\n.option norvc\n.globl trap_here\ntrap_here: ebreak\n.option pop\n"
        " sd x1, 8(a0)\n sd x2, 16(a0)\n sd x3, 24(a0)\n sd x4, 32(a0)\n sd x5, 40(a0)\n sd x6, 48(a0)\n"
        " sd x7, 56(a0)\n sd x8, 64(a0)\n sd x9, 72(a0)\n sd x10, 80(a0)\n sd x11, 88(a0)\n sd x12, 96(a0)\n"
        " sd x13, 104(a0)\n sd x14, 112(a0)\n sd x15, 120(a0)\n sd x16, 128(a0)\n sd x17, 136(a0)\n"
        " sd x18, 144(a0)\n sd x19, 152(a0)\n sd x20, 160(a0)\n sd x21, 168(a0)\n sd x22, 176(a0)\n"
        " sd x23, 184(a0)\n sd x24, 192(a0)\n sd x25, 200(a0)\n sd x26, 208(a0)\n sd x27, 216(a0)\n"
        " sd x28, 224(a0)\n sd x29, 232(a0)\n sd x30, 240(a0)\n sd x31, 248(a0)\n frcsr t0\n sd t0, 0(a0)\n"
        ".irp n,0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31\n"
        " fsd f\\n, 256+8*\\n(a0)\n.endr\n fscsr x0\n"
        " ld ra, 0(sp)\n ld s0, 8(sp)\n ld s1, 16(sp)\n ld s2, 24(sp)\n ld s3, 32(sp)\n ld s4, 40(sp)\n"
        " ld s5, 48(sp)\n ld s6, 56(sp)\n ld s7, 64(sp)\n ld s8, 72(sp)\n ld s9, 80(sp)\n ld s10, 88(sp)\n"
        " ld s11, 96(sp)\n ld gp, 104(sp)\n ld tp, 120(sp)\n"
        " fld fs0, 128(sp)\n fld fs1, 136(sp)\n fld fs2, 144(sp)\n fld fs3, 152(sp)\n fld fs4, 160(sp)\n"
        " fld fs5, 168(sp)\n fld fs6, 176(sp)\n fld fs7, 184(sp)\n fld fs8, 192(sp)\n fld fs9, 200(sp)\n"
        " fld fs10, 208(sp)\n fld fs11, 216(sp)\n addi sp, sp, 256\n ret\n");
struct registers {
    unsigned long fcsr, x[31], f[32];
};
void registers_across(struct registers *seen, unsigned long fcsr, const unsigned long *f);
extern char trap_here[];

static struct registers in_frame;
static unsigned long frame_fcsr, frame_pc, handler_sp, frame_at, info_at;
static bool change;
static unsigned sigreturn_code[2];

static void clobber(void)
{
    /* Everything a handler may legally clobber, and the rounding mode. */
    __asm__ volatile(
        "li t0, -1\n li t1, -1\n li t2, -1\n li t3, -1\n li t4, -1\n li t5, -1\n li t6, -1\n"
        "li a1, -1\n li a2, -1\n li a3, -1\n li a4, -1\n li a5, -1\n li a6, -1\n li a7, -1\n"
        "fmv.d.x ft0, t0\n fmv.d.x ft11, t0\n fmv.d.x fa0, t0\n fmv.d.x fa7, t0\n fmv.d.x fs0, t0\n"
        "fmv.d.x fs11, t0\n li t0, 0x7f\n fscsr t0\n" ::
            : "t0", "t1", "t2", "t3", "t4", "t5", "t6", "a1", "a2", "a3", "a4", "a5", "a6", "a7", "ft0",
              "ft11", "fa0", "fa7", "fs0", "fs11");
}

static void on_trap(int number, siginfo_t *info, void *context)
{
    ucontext_t *uc = context;
    unsigned long *return_address = __builtin_return_address(0);
    (void)number;
    memcpy(sigreturn_code, return_address, 8);
    handler_sp = (unsigned long)__builtin_frame_address(0);
    frame_at = (unsigned long)uc;
    info_at = (unsigned long)info;
    for (int i = 1; i < 32; i++)
        in_frame.x[i - 1] = uc->uc_mcontext.__gregs[i];
    for (int i = 0; i < 32; i++)
        in_frame.f[i] = uc->uc_mcontext.__fpregs.__d.__f[i];
    frame_fcsr = uc->uc_mcontext.__fpregs.__d.__fcsr;
    frame_pc = uc->uc_mcontext.__gregs[REG_PC];
    uc->uc_mcontext.__gregs[REG_PC] += 4;
    if (change) {
        for (int i = 5; i < 32; i++)
            if (i != 10)
                uc->uc_mcontext.__gregs[i] += 5000;
        uc->uc_mcontext.__gregs[1] += 5000;
        for (int i = 0; i < 32; i++)
            uc->uc_mcontext.__fpregs.__d.__f[i] ^= 0xff00ff00ff00ff00;
        uc->uc_mcontext.__fpregs.__d.__fcsr = 0x4a;
    }
    clobber();
}

static unsigned long pattern[32];

static void check_round(const char *what, unsigned long add, unsigned long flip, unsigned long fcsr)
{
    struct registers seen;
    char fact[100];
    memset(&seen, 0, sizeof seen);
    registers_across(&seen, 0x25, pattern);
    bool frame_right = true, after_right = true, fp_frame = true, fp_after = true;
    for (int i = 1; i < 32; i++) {
        if (i == 2 || i == 3 || i == 4 || i == 10)
            continue;
        frame_right &= in_frame.x[i - 1] == 1000UL + (unsigned long)i;
        after_right &= seen.x[i - 1] == 1000UL + (unsigned long)i + add;
    }
    for (int i = 0; i < 32; i++) {
        fp_frame &= in_frame.f[i] == pattern[i];
        fp_after &= seen.f[i] == (pattern[i] ^ flip);
    }
    snprintf(fact, sizeof fact, "%s: integer registers in the frame", what);
    OK(fact, frame_right);
    snprintf(fact, sizeof fact, "%s: fp registers in the frame", what);
    OK(fact, fp_frame);
    EQ("sp in the frame", in_frame.x[1], seen.x[1]);
    EQ("gp in the frame", in_frame.x[2], seen.x[2]);
    EQ("tp in the frame", in_frame.x[3], seen.x[3]);
    EQ("a0 in the frame", in_frame.x[9], (unsigned long)&seen);
    EQ("pc in the frame", frame_pc, (unsigned long)trap_here);
    EQ("fcsr in the frame", frame_fcsr, 0x25);
    snprintf(fact, sizeof fact, "%s: integer registers after", what);
    OK(fact, after_right);
    snprintf(fact, sizeof fact, "%s: fp registers after", what);
    OK(fact, fp_after);
    EQ("fcsr after", seen.fcsr, fcsr);
    OK("the frame lies below the interrupted stack", frame_at < seen.x[1]);
    OK("the siginfo lies 128 bytes below the ucontext", frame_at - info_at == 128);
    EQ("the frame is aligned", info_at % 16, 0);
    OK("the handler runs below its frame", handler_sp <= info_at);
}

static void on_mask(int number, siginfo_t *info, void *context)
{
    (void)number, (void)info;
    ucontext_t *uc = context;
    sigset_t during;
    sigprocmask(SIG_BLOCK, NULL, &during);
    OK("handler's own signal is blocked", sigismember(&during, SIGUSR1));
    OK("sa_mask is blocked", sigismember(&during, SIGUSR2));
    OK("frame holds the old mask",
       !sigismember(&uc->uc_sigmask, SIGUSR1) && sigismember(&uc->uc_sigmask, SIGHUP));
    OK("uc_link is null", uc->uc_link == NULL);
    sigaddset(&uc->uc_sigmask, SIGWINCH);
    sigdelset(&uc->uc_sigmask, SIGHUP);
}

int main(void)
{
    EQ("size of siginfo_t", sizeof(siginfo_t), 128);
    EQ("offset of uc_sigmask", offsetof(ucontext_t, uc_sigmask), 40);
    EQ("offset of uc_mcontext", offsetof(ucontext_t, uc_mcontext), 176);
    for (int i = 0; i < 32; i++)
        pattern[i] = 0x4000000000000000UL + 0x0101010101010101UL * (unsigned long)i;
    pattern[3] = 0xffffffff3f800000; /* a boxed single */
    pattern[4] = 0x7ff0000000000001; /* a signalling NaN stays as it is */
    pattern[5] = 0x000000003f800000; /* a badly boxed single stays as it is */
    handle(SIGTRAP, on_trap, 0);
    check_round("untouched", 0, 0, 0x25);
    EQ("handlers return to li a7, 139", sigreturn_code[0], 0x08b00893);
    EQ("followed by ecall", sigreturn_code[1], 0x00000073);
    change = true;
    check_round("changed", 5000, 0xff00ff00ff00ff00, 0x4a);

    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGHUP);
    sigprocmask(SIG_SETMASK, &set, NULL);
    struct sigaction action = {.sa_sigaction = on_mask, .sa_flags = SA_SIGINFO};
    sigaddset(&action.sa_mask, SIGUSR2);
    sigaction(SIGUSR1, &action, NULL);
    raise(SIGUSR1);
    sigprocmask(SIG_BLOCK, NULL, &set);
    OK("mask written into the frame is taken", sigismember(&set, SIGWINCH) && !sigismember(&set, SIGHUP));
    OK("the rest of the mask is restored", !sigismember(&set, SIGUSR1) && !sigismember(&set, SIGUSR2));
    return test_end();
}
