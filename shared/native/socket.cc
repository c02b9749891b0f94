// Unix stream sockets with descriptors beside the bytes (SCM_RIGHTS), which libuv drops.
// Sources: unix(7), sendmsg(2), recvmsg(2), poll(2).
// Left out: datagrams, and everything after the hello of a connection, which Node's net does.
#include "addon.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include <cerrno>
#include <climits>
#include <cstddef>
#include <cstring>
#include <utility>

namespace splitvm {
namespace {

constexpr size_t kMaxDescriptors = 253;     // SCM_MAX_FD in the kernel
constexpr size_t kMaxPolled = 65536;        // more than any limit of open files that is usual
constexpr int64_t kMaxMessage = 1 << 26;    // 64 MiB: a bound on what one call allocates
constexpr double kMaxTimeoutMs = INT_MAX;   // as poll(2)

/** Descriptors that are closed unless they are handed on. */
class Descriptors {
 public:
  Descriptors() = default;
  Descriptors(const Descriptors&) = delete;
  Descriptors& operator=(const Descriptors&) = delete;
  ~Descriptors() {
    for (int fd : fds_) close(fd);
  }
  void Add(int fd) { fds_.push_back(fd); }
  size_t Count() const { return fds_.size(); }
  Napi::Array ToArray(Napi::Env env) const {
    Napi::Array array = Napi::Array::New(env, fds_.size());
    for (uint32_t i = 0; i < fds_.size(); i++) array.Set(i, fds_[i]);
    return array;
  }
  void Release() { fds_.clear(); }

 private:
  std::vector<int> fds_;
};

/** A point in time that a wait with several steps keeps to. */
class Deadline {
 public:
  explicit Deadline(double ms) : end_(Now() + static_cast<int64_t>(ms * 1e6)) {}
  timespec Remaining() const {
    int64_t left = end_ - Now();
    if (left < 0) left = 0;
    return {static_cast<time_t>(left / 1000000000), static_cast<long>(left % 1000000000)};
  }

 private:
  static int64_t Now() {
    timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec * int64_t{1000000000} + time.tv_nsec;
  }
  int64_t end_;
};

Deadline DeadlineOf(Napi::Env env, const Args& args, size_t index) {
  double ms = args.Duration(index, "timeoutMs");
  if (ms > kMaxTimeoutMs) throw Napi::RangeError::New(env, "\"timeoutMs\" must be at most 2^31 - 1");
  return Deadline(ms);
}

/** ppoll until something is ready or the deadline passes; signals in between do not end it. */
int PollUntil(Napi::Env env, pollfd* polled, size_t count, const Deadline& deadline) {
  for (;;) {
    timespec left = deadline.Remaining();
    int ready = ppoll(polled, count, &left, nullptr);
    if (ready >= 0) return ready;
    if (errno != EINTR) throw SystemError(env, errno, "poll");
  }
}

/** The socket address of `path`: a file, or an abstract name if it begins with "@" or a NUL. */
socklen_t AddressOf(Napi::Env env, const std::string& path, const char* syscall, sockaddr_un* address) {
  bool abstract = !path.empty() && (path[0] == '@' || path[0] == '\0');
  if (path.size() <= (abstract ? 1 : 0) || (!abstract && path.find('\0') != std::string::npos)) {
    throw Napi::RangeError::New(env, "\"path\" must be a file's path, or \"@\" and an abstract name");
  }
  size_t limit = sizeof address->sun_path - (abstract ? 0 : 1);  // a file's path ends with a NUL
  if (path.size() > limit) throw SystemError(env, ENAMETOOLONG, syscall, path);
  *address = {};
  address->sun_family = AF_UNIX;
  memcpy(address->sun_path, path.data(), path.size());
  if (abstract) address->sun_path[0] = '\0';
  return static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + path.size() + (abstract ? 0 : 1));
}

Napi::Value ListenUnix(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  Args args(info);
  std::string path = args.Text(0, "path");
  int backlog = static_cast<int>(args.Integer(1, "backlog", 0, INT_MAX));
  sockaddr_un address;
  socklen_t length = AddressOf(env, path, "bind", &address);
  Descriptors sockets;
  int fd = Check(env, socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), "socket");
  sockets.Add(fd);
  if (bind(fd, reinterpret_cast<sockaddr*>(&address), length) != 0) throw SystemError(env, errno, "bind", path);
  if (listen(fd, backlog) != 0) throw SystemError(env, errno, "listen", path);
  sockets.Release();
  return Napi::Number::New(env, fd);
}

Napi::Value ConnectUnix(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  std::string path = Args(info).Text(0, "path");
  sockaddr_un address;
  socklen_t length = AddressOf(env, path, "connect", &address);
  Descriptors sockets;
  int fd = Check(env, socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), "socket");
  sockets.Add(fd);
  int result;
  do {
    result = connect(fd, reinterpret_cast<sockaddr*>(&address), length);
  } while (result != 0 && errno == EINTR);  // on a Unix socket nothing has begun before it is done
  if (result != 0) throw SystemError(env, errno, "connect", path);
  sockets.Release();
  return Napi::Number::New(env, fd);
}

Napi::Value Accept(const Napi::CallbackInfo& info) {
  int listening = Args(info).Descriptor(0, "listenFd");
  int fd;
  do {
    fd = accept4(listening, nullptr, nullptr, SOCK_CLOEXEC);
  } while (fd < 0 && errno == EINTR);
  if (fd < 0 && errno != EAGAIN) throw SystemError(info.Env(), errno, "accept");
  return Napi::Number::New(info.Env(), fd);
}

Napi::Value SetNonBlocking(const Napi::CallbackInfo& info) {
  Args args(info);
  int fd = args.Descriptor(0, "fd");
  bool on = args.Boolean(1, "on");
  int flags = Check(info.Env(), fcntl(fd, F_GETFL), "fcntl");
  Check(info.Env(), fcntl(fd, F_SETFL, on ? flags | O_NONBLOCK : flags & ~O_NONBLOCK), "fcntl");
  return info.Env().Undefined();
}

Napi::Value SocketPair(const Napi::CallbackInfo& info) {
  int fds[2];
  Check(info.Env(), socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), "socketpair");
  Napi::Array pair = Napi::Array::New(info.Env(), 2);
  pair.Set(0u, fds[0]);
  pair.Set(1u, fds[1]);
  return pair;
}

Napi::Value PeerCredentials(const Napi::CallbackInfo& info) {
  ucred peer;
  socklen_t length = sizeof peer;
  int fd = Args(info).Descriptor(0, "fd");
  Check(info.Env(), getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &length), "getsockopt");
  Napi::Object result = Napi::Object::New(info.Env());
  result.Set("pid", peer.pid);
  result.Set("uid", peer.uid);
  result.Set("gid", peer.gid);
  return result;
}

Napi::Value SendMessage(const Napi::CallbackInfo& info) {
  Args args(info);
  int fd = args.Descriptor(0, "fd");
  std::vector<int> fds = args.Integers(2, "fds", kMaxDescriptors, 0, INT_MAX);
  Bytes bytes = args.View(1, "bytes");
  if (bytes.length == 0) throw Napi::RangeError::New(info.Env(), "\"bytes\" must not be empty");
  iovec part = {bytes.data, bytes.length};
  msghdr message = {};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  size_t size = fds.size() * sizeof(int);
  std::vector<cmsghdr> control(CMSG_SPACE(size) / sizeof(cmsghdr) + 1);  // of cmsghdr for its alignment
  if (!fds.empty()) {
    message.msg_control = control.data();
    message.msg_controllen = CMSG_SPACE(size);
    cmsghdr* header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(size);
    memcpy(CMSG_DATA(header), fds.data(), size);
  }
  ssize_t sent;
  do {
    sent = sendmsg(fd, &message, MSG_NOSIGNAL);
  } while (sent < 0 && errno == EINTR);
  return Napi::Number::New(info.Env(), static_cast<double>(Check(info.Env(), sent, "sendmsg")));
}

/** Takes the descriptors of a received message. */
void Collect(msghdr* message, Descriptors* descriptors) {
  for (cmsghdr* header = CMSG_FIRSTHDR(message); header != nullptr; header = CMSG_NXTHDR(message, header)) {
    if (header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS) continue;
    size_t size = header->cmsg_len - CMSG_LEN(0);
    for (size_t at = 0; at + sizeof(int) <= size; at += sizeof(int)) {
      int fd;
      memcpy(&fd, CMSG_DATA(header) + at, sizeof fd);
      descriptors->Add(fd);
    }
  }
}

Napi::Value ReceiveMessage(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  Args args(info);
  int fd = args.Descriptor(0, "fd");
  auto max_bytes = static_cast<size_t>(args.Integer(1, "maxBytes", 1, kMaxMessage));
  auto max_fds = static_cast<size_t>(args.Integer(2, "maxFds", 0, kMaxDescriptors));
  Deadline deadline = DeadlineOf(env, args, 3);
  Napi::ArrayBuffer buffer = Napi::ArrayBuffer::New(env, max_bytes);  // before anything that could leak is received
  Descriptors descriptors;
  std::vector<cmsghdr> control(CMSG_SPACE(max_fds * sizeof(int)) / sizeof(cmsghdr) + 1);
  iovec part = {buffer.Data(), max_bytes};
  msghdr message = {};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  ssize_t received;
  for (;;) {
    message.msg_control = control.data();
    message.msg_controllen = max_fds == 0 ? 0 : CMSG_LEN(max_fds * sizeof(int));  // CMSG_SPACE could take one more
    received = recvmsg(fd, &message, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
    if (received >= 0) break;
    if (errno == EINTR) continue;
    if (errno != EAGAIN) throw SystemError(env, errno, "recvmsg");
    pollfd polled = {fd, POLLIN, 0};
    if (PollUntil(env, &polled, 1, deadline) == 0) return env.Null();
  }
  Collect(&message, &descriptors);
  if ((message.msg_flags & MSG_CTRUNC) != 0) {
    // The kernel stopped handing over: our room was full, or else the table of open files was.
    throw SystemError(env, descriptors.Count() < max_fds ? EMFILE : EMSGSIZE, "recvmsg");
  }
  Napi::Object result = Napi::Object::New(env);
  result.Set("bytes", Napi::Uint8Array::New(env, static_cast<size_t>(received), buffer, 0));
  result.Set("fds", descriptors.ToArray(env));
  descriptors.Release();
  return result;
}

Napi::Value Poll(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  Args args(info);
  std::vector<int> fds = args.Integers(0, "fds", kMaxPolled, 0, INT_MAX);
  std::vector<int> events = args.Integers(1, "events", kMaxPolled, 0, SHRT_MAX);
  if (fds.size() != events.size()) throw Napi::RangeError::New(env, "\"fds\" and \"events\" must be of one length");
  Deadline deadline = DeadlineOf(env, args, 2);
  std::vector<pollfd> polled;
  for (size_t i = 0; i < fds.size(); i++) polled.push_back({fds[i], static_cast<short>(events[i]), 0});
  PollUntil(env, polled.data(), polled.size(), deadline);
  Napi::Array result = Napi::Array::New(env, polled.size());
  for (uint32_t i = 0; i < polled.size(); i++) result.Set(i, static_cast<int>(polled[i].revents));
  return result;
}

}  // namespace

void RegisterSocket(Napi::Object exports) {
  Export<ListenUnix>(exports, "listenUnix");
  Export<ConnectUnix>(exports, "connectUnix");
  Export<Accept>(exports, "accept");
  Export<SetNonBlocking>(exports, "setNonBlocking");
  Export<SocketPair>(exports, "socketPair");
  Export<PeerCredentials>(exports, "peerCredentials");
  Export<SendMessage>(exports, "sendMessage");
  Export<ReceiveMessage>(exports, "receiveMessage");
  Export<Poll>(exports, "poll");
}

}  // namespace splitvm
