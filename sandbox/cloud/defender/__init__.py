"""What Defender for Cloud does behind Resource Manager: redeem codes, onboard, discover."""
