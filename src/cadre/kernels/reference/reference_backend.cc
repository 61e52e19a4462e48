#include "cadre/kernels/reference/gradients.h"
#include "cadre/kernels/reference/reference.h"

namespace cadre {
namespace {

class ReferenceGradients final : public GradientBackend {
 public:
  void gemm(const Gemm& args) override { reference::gemm(args); }
  void add_heads(const AddHeads& args) override { reference::add_heads(args); }
  void rms_norm_grad(const RmsNormGrad& args) override { reference::rms_norm_grad(args); }
  void relu_grad(const ReluGrad& args) override { reference::relu_grad(args); }
  void causal_attention(const CausalAttention& args) override { reference::causal_attention(args); }
  void causal_attention_grad(const CausalAttentionGrad& args) override {
    reference::causal_attention_grad(args);
  }
  void expert_ffn_training(const ExpertFfnTraining& args) override { reference::expert_ffn_training(args); }
  void expert_ffn_grad(const ExpertFfnGrad& args) override { reference::expert_ffn_grad(args); }
  void cross_entropy(const CrossEntropy& args) override { reference::cross_entropy(args); }
  void embed_grad(const EmbedGrad& args) override { reference::embed_grad(args); }
  void adamw(const AdamW& args) override { reference::adamw(args); }
  double square_sum(std::span<const float> x) override { return reference::square_sum(x); }
};

class ReferenceBackend final : public Backend {
 public:
  void matmul(const Matmul& args) override { reference::matmul(args); }
  void head_matmul(const HeadMatmul& args) override { reference::head_matmul(args); }
  void embed(const Embed& args) override { reference::embed(args); }
  void rms_norm(const RmsNorm& args) override { reference::rms_norm(args); }
  void rope(const Rope& args) override { reference::rope(args); }
  void swiglu(const Swiglu& args) override { reference::swiglu(args); }
  void relu(const Relu& args) override { reference::relu(args); }
  void add(const Add& args) override { reference::add(args); }
  void copy(const Copy& args) override { reference::copy(args); }
  void kv_write(const KvWrite& args) override { reference::kv_write(args); }
  void kv_read(const KvRead& args) override { reference::kv_read(args); }
  void attend(const Attend& args) override { reference::attend(args); }
  void expert_ffn(const ExpertFfn& args) override { reference::expert_ffn(args); }

  GradientBackend* gradients() override { return &gradients_; }

  std::string description() const override { return "reference"; }

 private:
  ReferenceGradients gradients_;
};

}  // namespace

std::unique_ptr<Backend> make_reference_backend() { return std::make_unique<ReferenceBackend>(); }

}  // namespace cadre
