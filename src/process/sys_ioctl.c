/* ioctl. The numbers are the same on both architectures, and so is what the arguments of those below point to; but one that
 * is not known might have pointers inside, which the host's kernel would follow unchecked: ENOTTY. */
#include "process/serve.h"

#include <linux/blkpg.h>
#include <linux/fiemap.h>
#include <linux/fs.h>
#include <linux/hdreg.h>
#include <linux/if_tun.h>
#include <linux/loop.h>
#include <linux/nsfs.h>
#include <linux/random.h>
#include <linux/rtc.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <sys/ioctl.h>

/* What the argument of a request is: a value, or a pointer to so many bytes. */
#define VALUE 0
struct request {
    uint32_t number;
    uint32_t size;
};

/* Requests whose number does not say it, or says it wrongly. */
static const struct request requests[] = {
    {FIBMAP, 4},
    {FIGETBSZ, 4},
    {HDIO_GETGEO, sizeof(struct hd_geometry)},
    {BLKROSET, 4},
    {BLKROGET, 4},
    {BLKRRPART, VALUE},
    {BLKGETSIZE, 8},
    {BLKFLSBUF, VALUE},
    {BLKRASET, VALUE},
    {BLKRAGET, 8},
    {BLKFRASET, VALUE},
    {BLKFRAGET, 8},
    {BLKSECTGET, 2},
    {BLKSSZGET, 4},
    {BLKDISCARD, 16},
    {BLKIOMIN, 4},
    {BLKIOOPT, 4},
    {BLKALIGNOFF, 4},
    {BLKPBSZGET, 4},
    {BLKDISCARDZEROES, 4},
    {BLKSECDISCARD, 16},
    {BLKROTATIONAL, 2},
    {BLKZEROOUT, 16},
    {LOOP_SET_FD, VALUE},
    {LOOP_CLR_FD, VALUE},
    {LOOP_SET_STATUS64, sizeof(struct loop_info64)},
    {LOOP_GET_STATUS64, sizeof(struct loop_info64)},
    {LOOP_CHANGE_FD, VALUE},
    {LOOP_SET_CAPACITY, VALUE},
    {LOOP_SET_DIRECT_IO, VALUE},
    {LOOP_SET_BLOCK_SIZE, VALUE},
    {LOOP_CONFIGURE, sizeof(struct loop_config)},
    {LOOP_CTL_ADD, VALUE},
    {LOOP_CTL_REMOVE, VALUE},
    {LOOP_CTL_GET_FREE, VALUE},
    {RNDCLEARPOOL, VALUE},
    {RNDZAPENTCNT, VALUE},
    {TCGETS, 36}, /* the kernel's struct termios, libc's is another */
    {TCSETS, 36},
    {TCSETSW, 36},
    {TCSETSF, 36},
    {TCGETA, 18},
    {TCSETA, 18},
    {TCSETAW, 18},
    {TCSETAF, 18},
    {TCSBRK, VALUE},
    {TCXONC, VALUE},
    {TCFLSH, VALUE},
    {TIOCEXCL, VALUE},
    {TIOCNXCL, VALUE},
    {TIOCSCTTY, VALUE},
    {TIOCGPGRP, 4},
    {TIOCSPGRP, 4},
    {TIOCOUTQ, 4},
    {TIOCSTI, 1},
    {TIOCGWINSZ, 8},
    {TIOCSWINSZ, 8},
    {TIOCMGET, 4},
    {TIOCMBIS, 4},
    {TIOCMBIC, 4},
    {TIOCMSET, 4},
    {TIOCGSOFTCAR, 4},
    {TIOCSSOFTCAR, 4},
    {FIONREAD, 4},
    {TIOCCONS, VALUE},
    {TIOCPKT, 4},
    {FIONBIO, 4},
    {TIOCNOTTY, VALUE},
    {TIOCSETD, 4},
    {TIOCGETD, 4},
    {TCSBRKP, VALUE},
    {TIOCSBRK, VALUE},
    {TIOCCBRK, VALUE},
    {TIOCGSID, 4},
    {TIOCSIG, VALUE},
    {TIOCVHANGUP, VALUE},
    {TIOCGPTPEER, VALUE},
    {TIOCMIWAIT, VALUE},
    {TIOCGICOUNT, 80},
    {FIONCLEX, VALUE},
    {FIOCLEX, VALUE},
    {FIOASYNC, 4},
    {FIOQSIZE, 8},
    {TUNSETNOCSUM, VALUE},
    {TUNSETDEBUG, VALUE},
    {TUNSETIFF, sizeof(struct ifreq)},
    {TUNSETPERSIST, VALUE},
    {TUNSETOWNER, VALUE},
    {TUNSETLINK, VALUE},
    {TUNSETGROUP, VALUE},
    {TUNGETFEATURES, 4},
    {TUNSETOFFLOAD, VALUE},
    {TUNGETIFF, sizeof(struct ifreq)},
    {TUNSETSNDBUF, 4},
    {TUNGETSNDBUF, 4},
    {TUNGETVNETHDRSZ, 4},
    {TUNSETVNETHDRSZ, 4},
    {TUNSETQUEUE, sizeof(struct ifreq)},
    {TUNSETVNETLE, 4},
    {TUNGETVNETLE, 4},
    {FIOSETOWN, 4},
    {SIOCSPGRP, 4},
    {FIOGETOWN, 4},
    {SIOCGPGRP, 4},
    {SIOCATMARK, 4},
    {SIOCGSTAMP_OLD, 16},
    {SIOCGSTAMPNS_OLD, 16},
    {SIOCGIFNAME, sizeof(struct ifreq)},
    {SIOCGIFFLAGS, sizeof(struct ifreq)},
    {SIOCSIFFLAGS, sizeof(struct ifreq)},
    {SIOCGIFADDR, sizeof(struct ifreq)},
    {SIOCSIFADDR, sizeof(struct ifreq)},
    {SIOCGIFDSTADDR, sizeof(struct ifreq)},
    {SIOCSIFDSTADDR, sizeof(struct ifreq)},
    {SIOCGIFBRDADDR, sizeof(struct ifreq)},
    {SIOCSIFBRDADDR, sizeof(struct ifreq)},
    {SIOCGIFNETMASK, sizeof(struct ifreq)},
    {SIOCSIFNETMASK, sizeof(struct ifreq)},
    {SIOCGIFMETRIC, sizeof(struct ifreq)},
    {SIOCSIFMETRIC, sizeof(struct ifreq)},
    {SIOCGIFMTU, sizeof(struct ifreq)},
    {SIOCSIFMTU, sizeof(struct ifreq)},
    {SIOCSIFNAME, sizeof(struct ifreq)},
    {SIOCSIFHWADDR, sizeof(struct ifreq)},
    {SIOCGIFHWADDR, sizeof(struct ifreq)},
    {SIOCADDMULTI, sizeof(struct ifreq)},
    {SIOCDELMULTI, sizeof(struct ifreq)},
    {SIOCGIFINDEX, sizeof(struct ifreq)},
    {SIOCGIFPFLAGS, sizeof(struct ifreq)},
    {SIOCGIFCOUNT, sizeof(struct ifreq)},
    {SIOCGIFTXQLEN, sizeof(struct ifreq)},
    {SIOCSIFTXQLEN, sizeof(struct ifreq)},
    {SIOCGARP, sizeof(struct ifreq)},
    {SIOCOUTQNSD, 4},
    {FS_IOC_GETFLAGS, 4}, /* "long" in the number, an int in fact; so the next */
    {FS_IOC_SETFLAGS, 4},
    {FS_IOC_GETVERSION, 4},
    {FS_IOC_SETVERSION, 4},
    {FIFREEZE, VALUE},
    {FITHAW, VALUE},
    {FICLONE, VALUE},
    {RTC_IRQP_SET, VALUE},
    {RTC_EPOCH_SET, VALUE},
};

/* Whole groups of requests that say in their number what their argument is, and have no pointers inside. */
static bool group_is_plain(uint32_t number)
{
    switch (number & ~(uint32_t)(_IOC_SIZEMASK << _IOC_SIZESHIFT)) {
    case _IOC(_IOC_READ | _IOC_WRITE, 'X', 121, 0): return true; /* FITRIM */
    case _IOC(_IOC_READ, 'X', 31, 0):                            /* FS_IOC_FSGETXATTR */
    case _IOC(_IOC_WRITE, 'X', 32, 0):                           /* FS_IOC_FSSETXATTR */
    case _IOC(_IOC_WRITE, 0x94, 13, 0):                          /* FICLONERANGE */
    case _IOC(_IOC_READ, 0x94, 49, 0):                           /* FS_IOC_GETFSLABEL */
    case _IOC(_IOC_WRITE, 0x94, 50, 0): return true;             /* FS_IOC_SETFSLABEL */
    }
    switch (_IOC_TYPE(number)) {
    case 'R': return _IOC_NR(number) <= 1;                               /* random: counts of entropy */
    case 'T': return _IOC_NR(number) >= 0x2a && _IOC_NR(number) <= 0x43; /* TCGETS2 to TIOCGISO7816 */
    case 'p': return _IOC_NR(number) <= 0x14;                            /* clocks */
    case 'E': return _IOC_DIR(number) == _IOC_READ;                      /* input devices: queries */
    case 'W': return true;                                               /* watchdogs */
    case 0x12: return true;                                              /* block devices, the new ones */
    case NSIO: return true;                                              /* namespaces */
    case 0xff: return _IOC_DIR(number) == _IOC_NONE;                     /* pidfds */
    }
    return false;
}

/* Stores the size of the argument, 0 for a value. False when the request is not known to be plain. */
static bool request_size(uint32_t number, uint32_t *size)
{
    for (size_t i = 0; i < ARRAY_SIZE(requests); i++)
        if (requests[i].number == number) {
            *size = requests[i].size;
            return true;
        }
    *size = _IOC_DIR(number) == _IOC_NONE ? VALUE : _IOC_SIZE(number);
    return group_is_plain(number);
}

/* An array follows the structure, whose `count_at` bytes from its start hold the number of elements. */
static int64_t counted_ioctl(struct thread *t, const struct sysargs *args, uint64_t header, uint64_t count_at,
                             uint64_t element)
{
    uint32_t count;
    if (copy_from_guest(t, &count, args->a[2] + count_at, sizeof count))
        return -EFAULT;
    return host_call(t, SYS_ioctl, (int)args->a[0], args->a[1],
                     guest_pointer(t, args->a[2], header + count * element));
}

static int64_t interface_list(struct thread *t, const struct sysargs *args)
{
    struct ifconf list;
    if (copy_from_guest(t, &list, args->a[2], sizeof list))
        return -EFAULT;
    uint64_t buffer = (uint64_t)list.ifc_buf;
    list.ifc_buf = guest_pointer(t, buffer, list.ifc_len > 0 ? (uint64_t)list.ifc_len : 0);
    int64_t result = host_call(t, SYS_ioctl, (int)args->a[0], SIOCGIFCONF, &list);
    if (result)
        return result;
    list.ifc_buf = (char *)buffer;
    return copy_to_guest(t, args->a[2], &list, sizeof list);
}

/* The answer to a request that is not known, for a descriptor that is or is not there. */
static int64_t not_known(int fd, uint32_t number)
{
    int64_t flags = host_call_now(SYS_fcntl, fd, 1 /* F_GETFD */);
    if (flags < 0)
        return flags;
    return number == SIOCETHTOOL ? -EOPNOTSUPP : -ENOTTY;
}

int64_t call_ioctl(struct thread *t, const struct sysargs *args)
{
    int fd = (int)args->a[0];
    uint32_t number = (uint32_t)args->a[1], size;
    switch (number) {
    case SIOCGIFCONF: return interface_list(t, args);
    case FS_IOC_FIEMAP:
        return counted_ioctl(t, args, sizeof(struct fiemap), offsetof(struct fiemap, fm_extent_count),
                             sizeof(struct fiemap_extent));
    case FIDEDUPERANGE: return counted_ioctl(t, args, 24, 16, sizeof(struct file_dedupe_range_info));
    }
    if (!request_size(number, &size))
        return not_known(fd, number);
    return host_call(t, SYS_ioctl, fd, number,
                     size ? (uint64_t)guest_pointer(t, args->a[2], size) : args->a[2]);
}
