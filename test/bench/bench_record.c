/* SPDX-License-Identifier: Apache-2.0 */
/* bench_record FILE COMMAND [ARG ...]: runs a command and records what its first thread sends over
 * netlink, byte for byte, as records of u32 netlink protocol, u32 length, datagram.
 *
 * By ptrace, since strace takes netlink messages apart and shows no bytes. Other threads and
 * children run untraced: they are not recorded. x86-64. */
#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

#define FDS_MAX 1024

static pid_t child;

__attribute__((noreturn)) static void die(const char *what)
{
	fprintf(stderr, "bench_record: %s: %s\n", what, strerror(errno));
	exit(1);
}

struct recorder {
	FILE *out;
	bool inside;           /* a system call has begun, and not ended */
	int protocol[FDS_MAX]; /* of the netlink socket with this number; -1 = it is none */
};

static void write_datagram(struct recorder *recorder, int protocol, uint64_t addr, size_t len)
{
	uint32_t head[2] = {(uint32_t)protocol, (uint32_t)len};
	char *data = malloc(len + 1);
	struct iovec local = {data, len}, remote = {(void *)(uintptr_t)addr, len};

	if (!data || process_vm_readv(child, &local, 1, &remote, 1, 0) != (ssize_t)len ||
	    fwrite(head, sizeof(head), 1, recorder->out) != 1 ||
	    fwrite(data, 1, len, recorder->out) != len)
		die("cannot record");
	free(data);
}

/* A system call has ended. */
static void on_call(struct recorder *recorder, const struct user_regs_struct *regs)
{
	int64_t result = (int64_t)regs->rax;

	if (result < 0)
		return;
	if (regs->orig_rax == SYS_socket && result < FDS_MAX)
		recorder->protocol[result] = regs->rdi == AF_NETLINK ? (int)regs->rdx : -1;
	else if (regs->orig_rax == SYS_sendto && regs->rdi < FDS_MAX &&
		 recorder->protocol[regs->rdi] >= 0)
		write_datagram(recorder, recorder->protocol[regs->rdi], regs->rsi,
			       (size_t)regs->rdx);
}

/* Until the command ends; its exit code. */
static int trace(struct recorder *recorder)
{
	struct user_regs_struct regs;
	int status, signal = 0;

	for (;;) {
		if (ptrace(PTRACE_SYSCALL, child, NULL, (void *)(intptr_t)signal) < 0 &&
		    errno != ESRCH)
			die("ptrace");
		if (waitpid(child, &status, __WALL) < 0)
			die("waitpid");
		if (WIFEXITED(status) || WIFSIGNALED(status))
			return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
		signal = WSTOPSIG(status);
		if (signal == SIGTRAP)
			signal = 0; /* exec */
		if (signal != (SIGTRAP | 0x80))
			continue;
		signal = 0;
		recorder->inside = !recorder->inside;
		if (!recorder->inside && ptrace(PTRACE_GETREGS, child, NULL, &regs) == 0)
			on_call(recorder, &regs);
	}
}

static void pass_on(int number)
{
	kill(child, number);
}

int main(int argc, char **argv)
{
	struct recorder recorder = {.inside = false};
	int status;

	if (argc < 3) {
		fputs("usage: bench_record FILE COMMAND [ARG ...]\n", stderr);
		return 2;
	}
	memset(recorder.protocol, -1, sizeof(recorder.protocol));
	recorder.out = fopen(argv[1], "wb");
	if (!recorder.out)
		die(argv[1]);
	child = fork();
	if (child == 0) {
		ptrace(PTRACE_TRACEME, 0, NULL, NULL);
		raise(SIGSTOP);
		execvp(argv[2], argv + 2);
		die(argv[2]);
	}
	signal(SIGTERM, pass_on);
	if (child < 0 || waitpid(child, &status, 0) < 0 ||
	    ptrace(PTRACE_SETOPTIONS, child, NULL, (void *)PTRACE_O_TRACESYSGOOD) < 0)
		die("cannot trace");
	status = trace(&recorder);
	if (fclose(recorder.out) != 0)
		die(argv[1]);
	return status;
}
