def rule_policies(f): return f
