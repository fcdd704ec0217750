/* A process VM: one riscv64 Linux process of the guest is one process of the host, one guest thread is one host thread,
 * with the same ids.
 *
 *   exec.c     loads a program (elf.c, stack.c, vdso.c) and re-executes the monitor for execve()
 *   thread.c   the dispatcher: runs a hart, serves its exits; clone, fork, exit
 *   signal.c   signals: host handler, queue, frames on the guest's stack
 *   syscall.c  the table of system calls, made from syscalls.def; sys_*.c are the interpreter routines
 *   mm.c       the allocator: the guest's address space
 *   procfs.c   the files of /proc that would show the monitor instead of the guest
 *   strace.c   --strace
 *
 * Threads: struct process is shared, fields are constant after the start unless they say otherwise; struct thread
 * belongs to its host thread. Lifetime: both live until the host thread or process ends. */
#ifndef PROCESS_PROCESS_H
#define PROCESS_PROCESS_H

#include "cpu/riscv/engine.h"
#include "process/mm.h"

#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdatomic.h>

/* What the caller wants of a process VM. All strings are borrowed for the life of the process. */
struct process_config {
    const char *program; /* path on the host (inside the root, when one was entered) */
    const char *execfn;  /* AT_EXECFN: the path as execve() was given it; NULL: program */
    char **argv, **envp; /* NULL-terminated */
    const char *sysroot; /* or NULL */
    uint64_t extensions; /* bit set of enum rv_ext */
    struct engine_options engine;
    unsigned address_bits;
    bool strace;
    bool
        fake_ids; /* inside a user namespace with one id: chown to ids that are not mapped succeeds silently */
    const char *ids; /* with fake_ids: those of the program that has executed this one, ids.h; or NULL */
    enum process_stats { STATS_OFF, STATS_TEXT, STATS_JSON } stats;
    int monitor_fd; /* O_PATH descriptor of this program's file, for execveat() on execve() of the guest */
    char **
        monitor_argv; /* NULL-terminated: "guise", "run" and the options that a re-executed monitor needs, up to "--" */
    int report_fd;         /* where --strace and --stats write, or -1 */
    bool report_is_shared; /* programs that were executed before this one have written there */
    void (*started)(
        void *context); /* called when the program is loaded, before its first instruction; or NULL */
    void *started_context;
};

#define GUEST_NSIG 64

/* A guest's action for a signal, as in the riscv kernel ABI (no sa_restorer). */
struct guest_sigaction {
    uint64_t handler; /* 0 SIG_DFL, 1 SIG_IGN */
    uint64_t flags;
    uint64_t mask;
};

/* Signals that wait in the monitor: those that it needs itself while the guest blocks them; signal.c. */
enum { MONITOR_SIGNAL_COUNT = 3 };
struct held_signals {
    _Atomic uint64_t set;
    siginfo_t info[MONITOR_SIGNAL_COUNT];
};

/* Shared by the threads of a process (CLONE_SIGHAND), not by a vfork child. */
struct sighand {
    pthread_mutex_t lock;
    struct guest_sigaction actions[GUEST_NSIG + 1];
    struct held_signals held; /* sent to the process; changed with the lock held */
};

struct guest_stack {
    uint64_t sp;
    int32_t flags;
    uint64_t size;
};

/* The ids that set*id() gave to a guest inside a user namespace with one id, where the host cannot give them
 * (config->fake_ids); sys_ids.c. Zero until the first look at them. */
struct guest_ids {
    bool known;
    bool keeps_power;        /* gave up the user root, and not its capabilities (PR_SET_KEEPCAPS) */
    uint32_t uid[4], gid[4]; /* real, effective, saved, file system */
    int group_count;         /* -1: never set, the host's hold */
    uint32_t groups[64];
};

/* A resource limit that is too small for the monitor: kept for the guest to read back; sys_process.c. */
struct guest_limit {
    bool set;
    uint64_t soft, hard;
};

struct thread;

struct process {
    const struct process_config *config;
    struct mm *mm;
    struct code *code;
    struct sighand sighand;
    pthread_mutex_t lock;   /* protects `threads`, `umask`-like state and exit */
    struct thread *threads; /* list by thread->next */
    uint32_t thread_count;
    char *exe;      /* absolute path of the program: /proc/self/exe */
    int sysroot_fd; /* O_PATH, -1 without */
    uint64_t arg_start, arg_end, env_start, env_end, stack_start, start_code,
        end_code;      /* guest addresses, for /proc/self/stat */
    uint64_t auxv[64]; /* as given to the program */
    size_t auxv_words;
    uint64_t vdso_base, vdso_sigreturn; /* guest addresses */
    uint64_t start_ns, start_ticks;     /* CLOCK_MONOTONIC and host_ticks() at the start */
    _Atomic uint64_t syscalls;          /* of threads that have ended */
    struct process_counts {             /* of the harts of threads that have ended */
        _Atomic uint64_t retired, exits[ENGINE_EXIT_COUNT], tier_ticks[ENGINE_TIER_COUNT];
    } counts;
    struct sigaction inherited_actions
        [MONITOR_SIGNAL_COUNT]; /* the host's for SIGSEGV, SIGBUS, SIGTRAP, before the monitor took them */
    uint64_t inherited_mask;    /* the first thread's */
    struct guest_ids ids;       /* under `lock` */
    struct guest_limit stack_limit; /* under `lock` */
    int exit_status;      /* of the first thread, once it has ended: the process's, however the others end */
    bool forked;          /* made by fork(): nobody asked for its statistics */
    _Atomic bool several; /* there is or was another thread or process: lines of --strace tell which */
    bool vforked;         /* this struct is a vfork child's copy: mm and code are the parent's */
};

/* A system call that a signal has stopped; pc and a0 are still as at the call. What becomes of it if a handler runs;
 * without one it is made again. */
enum interruption {
    INTERRUPTED_NOT,
    INTERRUPTED_REDO,    /* made again */
    INTERRUPTED_RESTART, /* made again if the handler has SA_RESTART, else EINTR */
    INTERRUPTED_FAIL,    /* EINTR */
};

struct thread {
    struct hart hart;
    struct process *process;
    struct thread *next;
    int tid;
    uint64_t sigmask;       /* the guest's blocked signals, bit n-1 for signal n */
    uint64_t saved_sigmask; /* to be restored after sigsuspend, ppoll, ... when restore_sigmask */
    bool restore_sigmask;
    struct guest_stack altstack;
    uint64_t clear_child_tid;     /* gva or 0 */
    uint64_t robust_list;         /* gva or 0 */
    struct signal_queue *signals; /* owned; signal.c */
    enum interruption interrupted;
    uint64_t syscall_number; /* being served */
    uint64_t syscalls;       /* served so far */
    struct fault_retry {     /* the last fault that was tried again */
        uint64_t pc, address;
        unsigned count; /* in a row */
    } retry;
    void *exec_vector; /* owned: the arguments of an execve() under way; a vfork parent frees its child's */
    jmp_buf *end; /* where thread_exit() goes, in the host thread's first function; NULL: the first thread */
};

/* The thread that this host thread runs, for signal handlers; NULL in a thread of the monitor's own. */
extern _Thread_local struct thread *current;

/* Between these the process has no other host threads than the guest's: for what the host's kernel says of them, or
 * does for a process of one thread alone. */
void process_pause_own_thread(const struct process *p);
void process_resume_own_thread(const struct process *p);

/* Becomes the guest: loads config->program into this process and runs it. Returns only when it cannot be loaded. */
int process_exec(const struct process_config *config, struct guise_error *err);

#endif
