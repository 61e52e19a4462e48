#include <fmt/format.h>

#include "cadre/kernels/backend.h"
#include "cadre/kernels/cpu/gradients.h"
#include "cadre/kernels/cpu/isa_tables.h"
#include "cadre/kernels/cpu/operations.h"

namespace cadre {
namespace {

class CpuGradients final : public GradientBackend {
 public:
  explicit CpuGradients(cpu::CpuContext& context) : context_(context) {}

  void gemm(const Gemm& args) override { cpu::gemm(context_, args); }
  void add_heads(const AddHeads& args) override { cpu::add_heads(context_, args); }
  void rms_norm_grad(const RmsNormGrad& args) override { cpu::rms_norm_grad(context_, args); }
  void relu_grad(const ReluGrad& args) override { cpu::relu_grad(context_, args); }
  void causal_attention(const CausalAttention& args) override { cpu::causal_attention(context_, args); }
  void causal_attention_grad(const CausalAttentionGrad& args) override {
    cpu::causal_attention_grad(context_, args);
  }
  void expert_ffn_training(const ExpertFfnTraining& args) override {
    cpu::expert_ffn_training(context_, args);
  }
  void expert_ffn_grad(const ExpertFfnGrad& args) override { cpu::expert_ffn_grad(context_, args); }
  void cross_entropy(const CrossEntropy& args) override { cpu::cross_entropy(context_, args); }
  void embed_grad(const EmbedGrad& args) override { cpu::embed_grad(context_, args); }
  void adamw(const AdamW& args) override { cpu::adamw(context_, args); }
  double square_sum(std::span<const float> x) override { return cpu::square_sum(context_, x); }

 private:
  cpu::CpuContext& context_;
};

class CpuBackend final : public Backend {
 public:
  CpuBackend(Isa isa, bool vnni, int threads) : isa_(isa), vnni_(vnni && has_vnni(isa)), context_(threads) {
    context_.table = cpu::table_for(isa, vnni);
  }

  void matmul(const Matmul& args) override { cpu::matmul(context_, args); }
  void head_matmul(const HeadMatmul& args) override { cpu::head_matmul(context_, args); }
  void embed(const Embed& args) override { cpu::embed(context_, args); }
  void rms_norm(const RmsNorm& args) override { cpu::rms_norm(context_, args); }
  void rope(const Rope& args) override { cpu::rope(context_, args); }
  void swiglu(const Swiglu& args) override { cpu::swiglu(context_, args); }
  void relu(const Relu& args) override { cpu::relu(context_, args); }
  void add(const Add& args) override { cpu::add(context_, args); }
  void copy(const Copy& args) override { cpu::copy(context_, args); }
  void kv_write(const KvWrite& args) override { cpu::kv_write(context_, args); }
  void kv_read(const KvRead& args) override { cpu::kv_read(context_, args); }
  void attend(const Attend& args) override { cpu::attend(context_, args); }
  void expert_ffn(const ExpertFfn& args) override { cpu::expert_ffn(context_, args); }

  GradientBackend* gradients() override { return &gradients_; }

  std::string description() const override {
    const int threads = context_.pool.size();
    return fmt::format("cpu/{}{}, {} thread{}", name(isa_), vnni_ ? "+vnni" : "", threads,
                       threads == 1 ? "" : "s");
  }
  std::chrono::nanoseconds waited() const override { return context_.pool.waited(); }

 private:
  Isa isa_;
  bool vnni_;
  cpu::CpuContext context_;
  CpuGradients gradients_{context_};
};

}  // namespace

Result<std::unique_ptr<Backend>> make_cpu_backend(const CpuOptions& options) {
  if (options.threads < 0 || options.threads > kMaxThreads)
    return fail(ErrorKind::kUsage, "threads: 0 (one per core) to {} expected, {} found", kMaxThreads,
                options.threads);
  CADRE_TRY(const Isa isa, cpu::choose_isa(options));
  return std::make_unique<CpuBackend>(isa, options.vnni, options.threads);
}

}  // namespace cadre
