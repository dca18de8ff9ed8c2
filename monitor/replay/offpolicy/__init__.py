"""What following the advice about carriers would have saved on a past: an off-policy estimate."""
