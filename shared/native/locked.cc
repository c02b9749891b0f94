// Locked compare and exchange for what WebAssembly's atomics cannot do: misaligned operands, and 16 bytes.
// Source: SDM vol. 2A "CMPXCHG", "CMPXCHG8B/CMPXCHG16B"; vol. 3 "Locked Atomic Operations": misaligned ones are atomic.
// Left out: other architectures' misaligned and 16-byte forms, refused with ENOSYS.  A host kernel that runs with
// split_lock_detect=fatal sends SIGBUS for an operand across two cache lines.
#include "addon.h"

#include <cerrno>
#include <cstring>

namespace splitvm {
namespace {

constexpr size_t kOperand = 16;  // bytes of each of expected, desired, old

#if defined(__x86_64__)

// Plain assembly, because the compiler's builtins may assume an aligned address.
template <typename Word>
bool Exchange(uint8_t* at, const uint8_t* expected, const uint8_t* desired, uint8_t* old) {
  Word accumulator, source;
  memcpy(&accumulator, expected, sizeof accumulator);
  memcpy(&source, desired, sizeof source);
  bool equal;
  asm volatile("lock cmpxchg %[source], (%[at])"
               : "+a"(accumulator), "=@ccz"(equal)
               : [source] "r"(source), [at] "r"(at)
               : "memory");
  memcpy(old, &accumulator, sizeof accumulator);
  return equal;
}

bool Exchange16(uint8_t* at, const uint8_t* expected, const uint8_t* desired, uint8_t* old) {
  uint64_t accumulator[2], source[2];
  memcpy(accumulator, expected, sizeof accumulator);
  memcpy(source, desired, sizeof source);
  bool equal;
  asm volatile("lock cmpxchg16b (%[at])"
               : "+a"(accumulator[0]), "+d"(accumulator[1]), "=@ccz"(equal)
               : "b"(source[0]), "c"(source[1]), [at] "r"(at)
               : "memory");
  memcpy(old, accumulator, sizeof accumulator);
  return equal;
}

constexpr bool kAnyAlignment = true;

#else

template <typename Word>
bool Exchange(uint8_t* at, const uint8_t* expected, const uint8_t* desired, uint8_t* old) {
  Word accumulator, source;
  memcpy(&accumulator, expected, sizeof accumulator);
  memcpy(&source, desired, sizeof source);
  bool equal = __atomic_compare_exchange_n(reinterpret_cast<Word*>(at), &accumulator, source, false, __ATOMIC_SEQ_CST,
                                           __ATOMIC_SEQ_CST);
  memcpy(old, &accumulator, sizeof accumulator);
  return equal;
}

constexpr bool kAnyAlignment = false;

#endif

Napi::Value LockedCompareExchange(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  Args args(info);
  Bytes memory = args.View(0, "memory");
  auto at = static_cast<size_t>(args.Size(1, "at"));
  auto size = static_cast<size_t>(args.Integer(2, "size", 1, kOperand));
  Bytes operands = args.View(3, "operands");
  if ((size & (size - 1)) != 0) throw Napi::RangeError::New(env, "\"size\" must be 1, 2, 4, 8 or 16");
  if (memory.length < size || at > memory.length - size) {
    throw Napi::RangeError::New(env, "the range " + std::to_string(at) + "+" + std::to_string(size) +
                                         " is outside the memory of " + std::to_string(memory.length));
  }
  if (operands.length != 3 * kOperand) throw Napi::RangeError::New(env, "\"operands\" must be 48 bytes");
  uint8_t* target = memory.data + at;
  bool aligned = reinterpret_cast<uintptr_t>(target) % size == 0;
  if (size == 16 && !aligned) throw Napi::RangeError::New(env, "a 16-byte operand must be aligned");  // #GP
  if (!kAnyAlignment && (!aligned || size == 16)) throw SystemError(env, ENOSYS, "lockedCompareExchange");
  const uint8_t* expected = operands.data;
  const uint8_t* desired = operands.data + kOperand;
  uint8_t* old = operands.data + 2 * kOperand;
  bool equal = false;
  switch (size) {
    case 1: equal = Exchange<uint8_t>(target, expected, desired, old); break;
    case 2: equal = Exchange<uint16_t>(target, expected, desired, old); break;
    case 4: equal = Exchange<uint32_t>(target, expected, desired, old); break;
    case 8: equal = Exchange<uint64_t>(target, expected, desired, old); break;
#if defined(__x86_64__)
    case 16: equal = Exchange16(target, expected, desired, old); break;
#endif
  }
  return Napi::Boolean::New(env, equal);
}

}  // namespace

void RegisterLocked(Napi::Object exports) { Export<LockedCompareExchange>(exports, "lockedCompareExchange"); }

}  // namespace splitvm
