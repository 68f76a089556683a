"""What makes the project run anywhere: a real API server and a simulated cloud."""
