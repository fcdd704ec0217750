/* confine: runs a command that may go wild, such as a random program on an emulator that has a mistake, with system calls
 * that could harm others refused (EPERM), in a session of its own, without core files. */
#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

/* clang-format off */
static const int refused[] = {
    __NR_rt_sigqueueinfo, __NR_pidfd_send_signal, __NR_pidfd_open, __NR_unlink,
    __NR_unlinkat, __NR_rmdir, __NR_rename, __NR_renameat, __NR_renameat2, __NR_truncate, __NR_link,
    __NR_linkat, __NR_symlink, __NR_symlinkat, __NR_mknod, __NR_mknodat, __NR_mkdir, __NR_mkdirat,
    __NR_chmod, __NR_fchmod, __NR_fchmodat, __NR_chown, __NR_lchown, __NR_fchown, __NR_fchownat,
    __NR_utimensat, __NR_setxattr, __NR_mount, __NR_umount2, __NR_pivot_root, __NR_chroot,
    __NR_reboot, __NR_sethostname, __NR_setdomainname, __NR_swapon, __NR_swapoff, __NR_acct,
    __NR_settimeofday, __NR_clock_settime, __NR_adjtimex, __NR_clock_adjtime, __NR_init_module,
    __NR_finit_module, __NR_delete_module, __NR_kexec_load, __NR_bpf, __NR_fork, __NR_vfork,
    __NR_setpriority, __NR_sched_setscheduler, __NR_sched_setparam, __NR_quotactl, __NR_syslog,
    __NR_socket, __NR_vhangup, __NR_add_key, __NR_keyctl, __NR_process_vm_writev,
};
/* clang-format on */

enum { COUNT = sizeof(refused) / sizeof(refused[0]) };

#define LOAD(field) BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, field))
#define EQUAL(value, yes, no) \
    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (unsigned)(value), (unsigned char)(yes), (no))
#define RETURN(value) BPF_STMT(BPF_RET | BPF_K, (value))

/* Refuses the calls above, and kill() of anything but this process itself. */
static int refuse_calls(void)
{
    struct sock_filter code[COUNT + 7] = {
        LOAD(nr), EQUAL(__NR_kill, 0, 2), LOAD(args[0]), EQUAL(getpid(), COUNT + 1, COUNT + 2), LOAD(nr),
    };
    for (unsigned i = 0; i < COUNT; i++)
        code[5 + i] = (struct sock_filter)EQUAL(refused[i], COUNT - i, 0);
    code[COUNT + 5] = (struct sock_filter)RETURN(SECCOMP_RET_ALLOW);
    code[COUNT + 6] = (struct sock_filter)RETURN(SECCOMP_RET_ERRNO | EPERM);
    struct sock_fprog program = {COUNT + 7, code};
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
        return -1;
    return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program);
}

int main(int argc, char **argv)
{
    const struct rlimit no_core = {0, 0};
    if (argc < 2) {
        fputs("usage: confine COMMAND [ARG...]\n", stderr);
        return 2;
    }
    setsid();
    setrlimit(RLIMIT_CORE, &no_core);
    if (refuse_calls() < 0)
        fprintf(stderr, "confine: no seccomp filter: %s\n", strerror(errno));
    execvp(argv[1], argv + 1);
    fprintf(stderr, "confine: %s: %s\n", argv[1], strerror(errno));
    return 127;
}
